"""Saying in words what of a data set is on disk, what is missing and what is broken."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from pctlib.data.containers import read_matlab
from pctlib.data.datasets import LAYOUTS, Layout, find_annotations, find_layout, splits_there
from pctlib.data.image_names import nearest_file
from pctlib.data.images import explain_size, image_size, orientation, read_image
from pctlib.data.people import People

_SHOWN = 3  # examples named in a line


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        kind: "ok", "note" (worth knowing, no fault), "missing" or "broken".
        text: the finding in words, with counts.
    """

    kind: str
    text: str


def check_dataset(
    path: str | Path,
    dataset: str | None = None,
    *,
    all_images: bool = False,
    sample: int = 64,
    seed: int = 0,
    category: str | None = None,
    progress: bool = True,
) -> list[Finding]:
    """Check a data set's folder: annotations, images named by them, and whether these can be decoded.

    Args:
        path: folder of the data set in its published layout.
        dataset: its name; None finds out.
        all_images: decode every image, not only a sample.
        sample: how many images of each split are decoded otherwise.
        seed: of the choice of the sample.
        category: name of the category of persons in files of the COCO format; None: by the rule.
        progress: whether to draw a progress bar.

    Returns:
        The findings, in the order of the splits. Nothing is raised for a fault of the data.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if `dataset` is unknown.
    """
    root = Path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder: {root}")
    if dataset is not None and dataset not in LAYOUTS:
        raise ValueError(f"unknown data set {dataset!r}; known are {', '.join(LAYOUTS)}")
    names = [dataset] if dataset else detect(root)
    if not names:
        content = ", ".join(sorted(entry.name for entry in root.iterdir())[:10]) or "nothing"
        known = ", ".join(LAYOUTS)
        return [Finding("missing", f"{root} holds {content}: no annotation file of {known} at its place")]
    findings = []
    for name in names:
        findings.append(Finding("ok", f"{root} is checked as {name}"))
        there = splits_there(name, root)
        if not there:
            findings += [_absent(name, root, split, "missing") for split in LAYOUTS[name]]
        for split in LAYOUTS[name] if there else ():
            if split in there:
                decoded = sample if not all_images else None
                findings += _check_split(name, root, split, decoded, seed, category, progress)
            else:
                findings.append(_absent(name, root, split, "note"))
    return findings


def detect(root: Path) -> list[str]:
    """Return the names of the data sets whose annotations lie at their place below `root`."""
    names = [name for name in LAYOUTS if splits_there(name, root)]
    names = [name for name in names if name != "own"] or names  # a published set is more than its format
    if "lsp" in names:  # both Leeds sets have the same file name; the order of the axes tells them apart
        names = [name for name in names if name not in ("lsp", "lsp-extended")]
        try:
            extended = np.shape(read_matlab(root / "joints.mat", "joints"))[:1] == (14,)
        except ValueError:
            extended = False
        names.append("lsp-extended" if extended else "lsp")
    return names


def _absent(name: str, root: Path, split: str, kind: str) -> Finding:
    expected = " or ".join(str(root / file) for file in find_layout(name, split).annotations)
    return Finding(kind, f"{split}: not there; expected {expected}")


def _check_split(
    name: str,
    root: Path,
    split: str,
    sample: int | None,
    seed: int,
    category: str | None,
    progress: bool,
) -> list[Finding]:
    """Return the findings of one split whose annotation file is there."""
    layout = find_layout(name, split)
    file = find_annotations(layout, name, root, split)
    folder = next((root / images for images in layout.images if (root / images).is_dir()), None)
    try:
        people, findings = _read(layout, file, folder, split, category)
    except (ValueError, OSError) as error:
        return [Finding("broken", f"{split}: the annotations cannot be read: {error}")]
    findings = [_summary(people, file, split), *findings]
    findings += [Finding("note", f"{split}: {count} {what}") for what, count in people.notes.items()]
    if folder is None:
        expected = " or ".join(str(root / images) for images in layout.images)
        return [*findings, Finding("missing", f"{split}: no folder of images; expected {expected}")]
    files, first = np.unique([str(image) for image in people.image_files], return_index=True)
    present = np.array([Path(image).is_file() for image in files], bool)
    findings.append(_presence(files[~present], int(present.sum()), folder, split))
    rows = first[present]
    if sample is not None and len(rows) > sample:
        rows = np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False))
    if len(rows):
        findings += _check_images(people, rows, int(present.sum()), split, progress)
    return findings + _check_boxes(people, split)


def _read(
    layout: Layout, file: Path, folder: Path | None, split: str, category: str | None
) -> tuple[People, list[Finding]]:
    """Read a split; where single annotations are faulty, say so and go on without them if the reader can."""
    options = {"category": category} if layout.can_skip else {}
    try:
        return layout.read(file, folder, **options), []
    except ValueError as error:
        if not layout.can_skip:
            raise
        people = layout.read(file, folder, skip_invalid=True, **options)
        count = people.excluded["invalid box or area"]
        text = f"{split}: {count} annotations have an invalid box or area; the first: {error}"
        return people, [Finding("broken", text)]


def _summary(people: People, file: Path, split: str) -> Finding:
    left_out = ", ".join(f"{count} {why}" for why, count in people.excluded.items() if count)
    return Finding(
        "ok",
        f"{split}: {len(people)} people in {len(np.unique(people.image_ids))} images, "
        f"{people.skeleton.num_keypoints} keypoints, {int(people.labelled.sum())} labelled, in {file}"
        + (f"; left out: {left_out}" if left_out else ""),
    )


def _presence(missing: np.ndarray, present: int, folder: Path, split: str) -> Finding:
    if not len(missing):
        return Finding("ok", f"{split}: all {present} images are in {folder}")
    total, near = present + len(missing), nearest_file(Path(missing[0]))
    same = near is not None and Path(near).stem.lower() == Path(missing[0]).stem.lower()
    lies = f"; there is {near}" if same else ""
    return Finding(
        "missing", f"{split}: {len(missing)} of {total} images are not in {folder}{_examples(missing)}{lies}"
    )


def _check_images(
    people: People, rows: np.ndarray, present: int, split: str, progress: bool
) -> list[Finding]:
    """Decode the images of the given rows, and compare their size with the annotations."""
    with ThreadPoolExecutor() as pool:
        results = pool.map(_decode, (people.image_files[row] for row in rows))
        bar = tqdm(results, desc=f"{split} images", total=len(rows), leave=False, disable=not progress)
        outcomes = list(bar)
    faults = [outcome for outcome in outcomes if isinstance(outcome, str)]
    of = f"all {present}" if len(rows) == present else f"a sample of {len(rows)} of {present}"
    findings = [Finding("ok", f"{split}: {len(rows) - len(faults)} images can be read ({of})")]
    if faults:
        findings.append(Finding("broken", f"{split}: {len(faults)} images cannot be read{_examples(faults)}"))
    sizes = people.image_sizes[rows]
    other = [
        str(people.image_files[row])
        for row, size, outcome in zip(rows, sizes, outcomes, strict=True)
        if not isinstance(outcome, str) and size.all() and tuple(size) != outcome
    ]
    if other:
        text = f"{split}: {len(other)} images have another size than the annotations say{_examples(other)}"
        findings.append(Finding("broken", text + _size_causes(people, rows, outcomes)))
    turned = sum(
        isinstance(outcome, tuple) and orientation(people.image_files[row]) > 1
        for row, outcome in zip(rows, outcomes, strict=True)
    )
    if turned:
        text = (
            f"{split}: {turned} images carry an EXIF orientation; as in COCO their pixels are taken as "
            "stored, so annotations made in a viewer that turns them do not fit"
        )
        findings.append(Finding("note", text))
    return findings


def _size_causes(people: People, rows: np.ndarray, outcomes: list[tuple[int, int] | str]) -> str:
    """Return why images have another size than annotated, each cause once; empty where none is known."""
    causes = {}
    for row, outcome in zip(rows, outcomes, strict=True):
        said = tuple(people.image_sizes[row].tolist())
        if isinstance(outcome, tuple) and all(said) and said != outcome:
            causes[explain_size(people.image_files[row], said)] = None
    known = [cause for cause in causes if cause]
    return "".join(f"; {cause}" for cause in known)


def _decode(file: Path) -> tuple[int, int] | str:
    """Return the stored (height, width) of an image that decodes to its end, else what is wrong."""
    try:
        read_image(file, min_scale=0.125)  # the whole file is still gone through
        return image_size(file)
    except (ValueError, OSError) as error:
        return str(error)


def _check_boxes(people: People, split: str) -> list[Finding]:
    """Count labelled keypoints outside their image, and persons without any."""
    findings = []
    sizes = people.image_sizes[:, None, ::-1]  # [N, 1, (width, height)]
    inside = (people.keypoints_image >= -0.5) & (people.keypoints_image <= sizes - 0.5)  # whole pixels
    outside = ~inside.all(-1)
    outside &= people.labelled & (sizes > 0).all(-1)
    if outside.any():
        count, persons = int(outside.sum()), int(outside.any(1).sum())
        text = f"{split}: {count} labelled keypoints of {persons} people lie outside their image"
        findings.append(Finding("note", text))
    unlabelled = ~people.labelled.any(1)
    if unlabelled.any():
        findings.append(Finding("note", f"{split}: {int(unlabelled.sum())} people have no labelled keypoint"))
    return findings


def _examples(names: Iterable[str]) -> str:
    names = list(names)
    return f": {', '.join(map(str, names[:_SHOWN]))}" + (" ..." if len(names) > _SHOWN else "")
