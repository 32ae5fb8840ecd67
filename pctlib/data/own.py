"""A user's own keypoints in the COCO format: any category, any number, as annotation tools export them."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pctlib.data.coco import read_coco
from pctlib.data.coco_persons import PERSON
from pctlib.data.people import People
from pctlib.io import existing_file, read_json, write_text
from pctlib.skeleton_files import describe_skeleton, known_skeleton, make_skeleton, read_skeleton
from pctlib.skeletons import COCO, Skeleton

KEYPOINTS_FILES = ("keypoints.yml", "keypoints.yaml", "keypoints.json")

# As CVAT, Roboflow, Label Studio and labelme's converters name what they export.
ANNOTATIONS = {
    "train": (
        "annotations/train.json",
        "annotations/person_keypoints_train.json",
        "annotations/person_keypoints_default.json",
        "annotations/instances_default.json",
        "train/_annotations.coco.json",
        "train.json",
        "result.json",
        "annotations.json",
    ),
    "val": (
        "annotations/val.json",
        "annotations/person_keypoints_val.json",
        "annotations/person_keypoints_validation.json",
        "valid/_annotations.coco.json",
        "val.json",
    ),
}
IMAGES = {
    "train": ("images/train", "train", "images/default", "images", "."),
    "val": ("images/val", "images/validation", "val", "valid", "images"),
}

_DRAFT = """\
# The keypoints of {source}, as its categories and their names tell them: correct what is wrong.
# flip_pairs: what changes places in a mirror image; limbs: what is joined by a line;
# sigmas: how far annotators differ, as a share of the size, for OKS: COCO's where the name is COCO's,
# else COCO's mean; limb_colors: one "#rrggbb" a limb may be added.
"""


def read_own(
    annotation_file: str | Path,
    image_dir: str | Path | None = None,
    *,
    category: str | None = None,
    skip_invalid: bool = False,
) -> People:
    """Read a COCO file of own keypoints.

    Args:
        annotation_file: JSON with images, annotations and categories.
        image_dir: folder that `file_name` is relative to; None where there are no images.
        category: name of the category; None: the one called person, else the only one with keypoints.
        skip_invalid: leave out and count annotations without a usable box.

    Raises:
        FileNotFoundError: if a file or folder is missing.
        ValueError: as `read_coco` and `own_skeleton`.
    """
    skeleton = own_skeleton(annotation_file, category=category)
    options = {"skeleton": skeleton, "category": category, "skip_invalid": skip_invalid}
    return read_coco(annotation_file, image_dir, **options)


def own_skeleton(annotation_file: str | Path, *, category: str | None = None) -> Skeleton:
    """Return the keypoints of a COCO file: those of `keypoints.yml` beside it or a folder up, else of itself.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if neither says them, or the two disagree in number.
    """
    file = existing_file(annotation_file)
    found = _category(file, category)
    described = next(
        (
            folder / name
            for folder in (file.parent, file.parent.parent)
            for name in KEYPOINTS_FILES
            if (folder / name).is_file()
        ),
        None,
    )
    if described is None:
        return skeleton_of_category(found, file)
    skeleton = read_skeleton(described)
    K = len(found.get("keypoints") or skeleton.keypoint_names)
    if skeleton.num_keypoints != K:
        raise ValueError(f"{described}: {skeleton.num_keypoints} keypoints, the category in {file} has {K}")
    return skeleton


def skeleton_of_category(category: Mapping[str, Any], file: str | Path) -> Skeleton:
    """Return the keypoint set that an entry of `categories` describes; a known one where the names are its.

    Flip pairs are told from left and right in the names. Limbs count from 1, as COCO's do, or from 0 where
    one of them is 0. Sigmas are COCO's for joints of COCO's names, else the mean of COCO's.

    Raises:
        ValueError: if it has no names of keypoints, or a limb names none; names the file.
    """
    names, limbs = category.get("keypoints"), category.get("skeleton") or []
    if not names:
        raise ValueError(
            f"{file}: the category {category.get('name')!r} does not name its keypoints; write them to "
            f"{KEYPOINTS_FILES[0]} beside the file"
        )
    named = dict(zip(COCO.keypoint_names, COCO.sigmas, strict=True))
    other = round(statistics.mean(COCO.sigmas), 3)
    try:
        first = 0 if any(0 in limb for limb in limbs) else 1
        made = make_skeleton(
            str(category.get("name") or Path(file).stem),
            names,
            limbs=[[index - first for index in limb] for limb in limbs],
            sigmas=[named.get(str(name).lower(), other) for name in names],
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: category {category.get('name')!r}: {error}") from error
    return known_skeleton(made)


def draft_keypoints(annotation_file: str | Path, *, category: str | None = None) -> Path | None:
    """Write `keypoints.yml` beside a COCO file for its user to correct; None if one is there already.

    Raises:
        ValueError: as `own_skeleton`.
        OSError: if it cannot be written.
    """
    file = existing_file(annotation_file)
    places = [folder / name for folder in (file.parent, file.parent.parent) for name in KEYPOINTS_FILES]
    if any(place.is_file() for place in places):
        return None
    skeleton = skeleton_of_category(_category(file, category), file)
    values = describe_skeleton(skeleton)
    names = skeleton.keypoint_names
    for field in ("flip_pairs", "limbs"):
        values[field] = [[names[a], names[b]] for a, b in values[field]]
    values["lower_body"] = [names[k] for k in values["lower_body"]]
    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, allow_unicode=True, width=100)
    return write_text(file.parent / KEYPOINTS_FILES[0], _DRAFT.format(source=file.name) + text)


def _category(file: Path, name: str | None) -> Mapping[str, Any]:
    """Return the entry of `categories` that is meant, as `choose_category` does.

    It is the one of this name, else person, else the only one with keypoints.
    """
    content = read_json(file)
    entries = content.get("categories") if isinstance(content, Mapping) else None
    entries = [entry for entry in entries or [] if isinstance(entry, Mapping)]
    meant = [e for e in entries if (e.get("name") == name if name else str(e.get("name")).lower() == PERSON)]
    if not meant and not name:
        meant = [entry for entry in entries if entry.get("keypoints")]
    if len(meant) == 1 or (meant and all(e.get("keypoints") == meant[0].get("keypoints") for e in meant)):
        return meant[0]
    if not meant and not name:
        return {}
    known = ", ".join(repr(entry.get("name")) for entry in entries) or "none"
    what = f"category {name!r}" if name else "one category with keypoints"
    raise ValueError(f"{file}: expected {what}, the file has {known}; say which by its name")
