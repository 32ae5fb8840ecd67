"""Person boxes found by a detector, in the COCO result format: where the papers' top-down poses start from.

Source: https://cocodataset.org/#format-results; boxes as Xiao et al. 2018, arXiv:1804.06208, publish them.
"""

from pathlib import Path

import numpy as np

from pctlib.data.coco import image_files, known_sizes
from pctlib.data.coco_format import EntryTable, ids_for_names, image_rows, image_sizes, read_sections
from pctlib.data.coco_persons import choose_category
from pctlib.data.people import BOX_AREA_SHARE, People
from pctlib.io import read_json
from pctlib.skeletons import COCO, Skeleton


def read_detections(
    detection_file: str | Path,
    annotation_file: str | Path,
    image_dir: str | Path | None = None,
    *,
    skeleton: Skeleton = COCO,
    category: str | None = None,
    min_score: float = 0.0,
) -> People:
    """Read detected boxes as people whose keypoints are all unlabelled.

    Args:
        detection_file: JSON list of image_id, category_id, bbox (x, y, width, height) and score.
        annotation_file: COCO file that names the images and the category of persons, by the rule of
            `read_annotations`; its annotations are not used otherwise.
        image_dir: folder of the images; None where there are none.
        skeleton: keypoints that will be predicted for them.
        category: name of the category of persons; None: by the rule.
        min_score: boxes with a lower score are left out.

    Returns:
        One row a box, in the order of the file: `box_scores` set, keypoints at (0, 0) with flag 0, annotation
        ids the places in the file from 1, areas box areas x 0.53. Boxes are not clipped to their image. Left
        out and counted: other categories, low scores, empty boxes.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if an entry lacks a field, names an unknown image, or holds NaN; names file and index.
    """
    content = read_sections(annotation_file)
    table = EntryTable(str(detection_file), _list_of(detection_file), "detection", with_ids=False)
    person = choose_category(content.annotations, content.categories, category, skeleton.num_keypoints)
    named = ids_for_names(table, content.images)
    ids = table.integers("category_id", default=person)
    _refuse_unknown(table, ids, content.categories)
    excluded = {"other category": table.keep(ids == person) if person is not None else 0}
    scores = table.numbers("score")
    excluded["low score"] = table.keep(scores >= min_score)
    scores = scores[scores >= min_score]
    boxes = table.numbers("bbox", 4)
    filled = (boxes[:, 2:] > 0).all(1)
    excluded["empty box"] = table.keep(filled)
    rows = image_rows(table, content.images)
    files = image_files(table, content.images, rows, image_dir)
    N, K = len(rows), skeleton.num_keypoints
    return People(
        skeleton=skeleton,
        image_files=files,
        image_ids=table.integers("image_id"),
        annotation_ids=table.places + 1,
        boxes_xywh=boxes[filled],
        areas=BOX_AREA_SHARE * boxes[filled, 2] * boxes[filled, 3],
        keypoints_image=np.zeros((N, K, 2), np.float32),
        visible=np.zeros((N, K), np.uint8),
        image_sizes=known_sizes(image_sizes(content.images)[rows], files),
        box_scores=scores[filled],
        source=str(detection_file),
        excluded={why: count for why, count in excluded.items() if count},
        notes={"images given by their file names": named} if named else {},
        category_id=1 if person is None else person,
    )


def _refuse_unknown(table: EntryTable, ids: np.ndarray, categories: list[dict] | None) -> None:
    """Raise if a detection is of a category that the annotation file does not list."""
    if categories is not None:
        known = EntryTable(table.file, categories, "category").integers("id")
        for row in np.flatnonzero(~np.isin(ids, known))[:1]:
            raise table.error(int(row), f"category_id {ids[row]} is not in section 'categories'")


def _list_of(file: str | Path) -> list[dict]:
    """Return the entries of a result file."""
    entries = read_json(file)
    if not isinstance(entries, list):
        raise ValueError(f"{file}: expected a list of detections, each with image_id, bbox and score")
    return entries
