"""CrowdPose: AP and AR, and AP by how crowded the image is."""

from pathlib import Path

import numpy as np

from pctlib.data.people import BOX_AREA_SHARE
from pctlib.metrics.evaluation import Evaluation
from pctlib.metrics.matching import KeypointEvaluation
from pctlib.metrics.results import (
    AnnotationFile,
    Results,
    count_inputs,
    detections,
    ground_truth,
    read_annotations,
)
from pctlib.skeletons import CROWDPOSE

LEVELS = ("easy", "medium", "hard")


def evaluate_crowdpose(
    annotation_file: str | Path,
    results: Results,
    *,
    boundaries: tuple[float, float] = (0.2, 0.8),
    category: str | None = None,
    skip_invalid: bool = False,
) -> Evaluation:
    """Score results against a CrowdPose file.

    The file has no segment areas: OKS and size ranges use 0.53 times the box area. Easy, medium and hard are
    the images whose `crowdIndex` is below the first boundary, below the second, and the rest.

    Source: Li et al. 2019, arXiv:1812.00324; `crowdposetools` of github.com/Jeff-sjtu/CrowdPose.
    Implementations disagree: the paper puts the boundaries at 0.1 and 0.8, crowdposetools and xtcocotools
    (followed, the numbers of other papers come from them) at 0.2 and 0.8; give `boundaries=(0.1, 0.8)` for
    the former. Both round AP of the levels to four digits; not done here. xtcocotools drops results without a
    positive confidence; crowdposetools (followed) keeps them. Early versions of crowdposetools print the AP
    of the levels as "Average Recall".

    Args:
        annotation_file: CrowdPose file in its own JSON, which is COCO's with `crowdIndex` in each image.
        results: path of a results file or its list: `image_id`, `keypoints` (42 numbers), `score`.
        boundaries: of the crowd index between easy and medium, medium and hard; rising.
        category: name of the category of persons; None: the rule of `read_annotations`.
        skip_invalid: leave out and count persons with an empty box.

    Returns:
        One row with AP, AP50, AP75, AR, AR50, AR75, AP easy, AP medium, AP hard, and the counts.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is damaged or does not fit (names file, entry and field), or the boundaries
            fall.
    """
    if not 0 <= boundaries[0] <= boundaries[1] <= 1:
        raise ValueError(f"boundaries: expected two rising numbers in 0..1, got {boundaries}")
    fields = {"keypoints": CROWDPOSE.num_keypoints}
    file = read_annotations(annotation_file, category=category, num_keypoints=CROWDPOSE.num_keypoints)
    level_of_image = np.digitize(_crowd_indices(file), boundaries)  # [I] 0, 1 or 2
    truth = ground_truth(file, fields=fields, box_fill=BOX_AREA_SHARE, skip_invalid=skip_invalid)
    found, _ = detections(results, file, fields=fields)
    evaluation = KeypointEvaluation(truth, found, sigmas=CROWDPOSE.sigmas)
    scores = evaluation.run()
    row = {name: scores[name] for name in ("AP", "AP50", "AP75", "AR", "AR50", "AR75")}
    counts = count_inputs(truth, found)
    for level, name in enumerate(LEVELS):
        images = truth.image_ids[level_of_image == level]
        row[f"AP {name}"] = evaluation.run(images)["AP"]
        counts[f"{name} images"] = len(images)
    return Evaluation("CrowdPose keypoints", {"person": row}, counts)


def _crowd_indices(file: AnnotationFile) -> np.ndarray:
    """Return the crowd index [I] of the images."""
    values = file.images.numbers("crowdIndex")
    for row in np.flatnonzero((values < 0) | (values > 1))[:1]:
        raise file.images.error(int(row), f"crowdIndex must be in 0..1, got {values[row]:g}")
    return values
