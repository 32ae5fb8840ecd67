"""LSP and LSP-Extended: PCK@0.2 of the torso."""

import numpy as np

from pctlib.data.people import People
from pctlib.metrics.evaluation import Evaluation
from pctlib.metrics.pck import pck
from pctlib.skeletons import LSP

_SIDED = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
GROUPS = {"Head": (LSP.index("neck"), LSP.index("head_top"))} | {
    name.capitalize(): (LSP.index(f"left_{name}"), LSP.index(f"right_{name}")) for name in _SIDED
}


def of_rows(people: People, keypoints: np.ndarray, *, first_image: int = 1, source: str = "") -> np.ndarray:
    """Return the predictions [N, 14, 2] of the rows of `people` among those of all images, in their order.

    Args:
        people: as `read_lsp` or `read_lsp_extended` give them; images with too few joints are no rows.
        keypoints: one pose for each image.
        first_image: number of the first image; 1001 of the test split.
        source: of the predictions, for the error.

    Raises:
        ValueError: if there are not as many predictions as images.
    """
    images = len(people) + sum(people.excluded.values())
    if len(keypoints) != images:
        raise ValueError(f"{source or 'predictions'}: {len(keypoints)} poses, but there are {images} images")
    return keypoints[people.image_ids - first_image]


def evaluate_lsp(people: People, keypoints_image: np.ndarray, *, threshold: float = 0.2) -> Evaluation:
    """Score predictions by PCK of the torso diameter, left shoulder to right hip.

    Source: Sapp and Taskar 2013, "MODEC: multimodal decomposable models"; `eval_pck` of
    github.com/bearpaw/eval_pose.
    Implementations disagree: some divide by the longer side of the person's box (Yang and Ramanan 2013);
    here it is |left shoulder - right hip| of the annotation (eval_pose). A distance equal to the threshold
    is right. `Mean` is over all annotated joints together. "Head" is the mean of neck and head top. In
    LSP-Extended joints can be unlabelled: they do not count, and persons without a labelled torso diagonal
    are left out and counted.

    Args:
        people: N persons with the LSP skeleton.
        keypoints_image: [N, 14, 2] predictions aligned with the rows of `people`, image pixels.
        threshold: share of the torso diameter.

    Returns:
        One row, percent: Head, Shoulder, Elbow, Wrist, Hip, Knee, Ankle, Mean; and the counts.

    Raises:
        ValueError: if the skeleton is not LSP; as `pck`.
    """
    if people.skeleton.name != LSP.name:
        raise ValueError(
            f"people of skeleton {people.skeleton.name} cannot be scored as lsp; convert() them first"
        )
    lengths = torso_diameters(people)
    counted = people.visible > 0
    shares = pck(
        keypoints_image,
        people.keypoints_image,
        counted,
        normalizer=lengths,
        threshold=threshold,
        inclusive=True,
    )
    row = {name: 100 * float(shares.per_joint[list(joints)].mean()) for name, joints in GROUPS.items()}
    row["Mean"] = 100 * shares.pooled
    counts = {
        "persons": len(people),
        "persons without a labelled torso left out": int((lengths == 0).sum()),
        "joints scored": int(shares.counts.sum()),
        "joints not labelled left out": int((~counted[lengths > 0]).sum()),
    }
    return Evaluation("LSP PCK, percent", {f"PCK@{threshold:g}": row}, counts)


def torso_diameters(people: People) -> np.ndarray:
    """Return [N] distances from left shoulder to right hip in pixels; 0 where either is not labelled."""
    shoulder, hip = people.skeleton.index("left_shoulder"), people.skeleton.index("right_hip")
    offsets = people.keypoints_image[:, shoulder] - people.keypoints_image[:, hip]  # [N, 2]
    labelled = (people.visible[:, [shoulder, hip]] > 0).all(axis=1)
    return np.where(labelled, np.linalg.norm(offsets.astype(np.float64), axis=1), 0.0)
