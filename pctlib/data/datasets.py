"""Every data set by name, where its published files lie below a folder, and how they are read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pctlib.data import own
from pctlib.data.coco import read_coco, read_coco_wholebody
from pctlib.data.crowdpose import read_crowdpose
from pctlib.data.h36m import read_h36m, read_h36m_videopose
from pctlib.data.lsp import read_lsp, read_lsp_extended
from pctlib.data.mpii import read_mpii
from pctlib.data.ochuman import read_ochuman
from pctlib.data.people import People


@dataclass(frozen=True)
class Layout:
    """Where one split lies below the folder of its data set.

    Attributes:
        annotations: files that may hold it; the first that exists is read.
        images: folders that may hold its images; the first that exists is taken.
        read: annotation file, image folder (None: leave the image files out) -> people.
        can_skip: whether `read` takes `skip_invalid` and `category`, as the readers of the COCO format do.
    """

    annotations: tuple[str, ...]
    images: tuple[str, ...]
    read: Callable[..., People]
    can_skip: bool = False


def _coco(names: tuple[str, ...], read: Callable[..., People]) -> dict[str, Layout]:
    """Return the layout of COCO 2017, and of own files without the year, as `generate` writes them too."""
    return {
        split: Layout(
            tuple(f"annotations/{name.format(split)}" for name in names),
            (f"{split}2017", f"images/{split}2017", split),
            read,
            can_skip=True,
        )
        for split in ("train", "val")
    }


def _crowdpose() -> dict[str, Layout]:
    return {
        split: Layout(
            (f"json/crowdpose_{split}.json", f"annotations/mmpose_crowdpose_{split}.json"),
            ("images",),
            read_crowdpose,
            can_skip=True,
        )
        for split in ("train", "val", "trainval", "test")
    }


def _ochuman() -> dict[str, Layout]:
    name = "ochuman_coco_format_{}_range_0.00_1.00.json"
    return {
        split: Layout(
            (f"annotations/{name.format(split)}", name.format(split)),
            ("images",),
            read_ochuman,
            can_skip=True,
        )
        for split in ("val", "test")
    }


def _mpii() -> dict[str, Layout]:
    release = ("mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat", "mpii_human_pose_v1_u12_1.mat")
    return {
        "train": Layout(("annot/train.json", "annot/train.h5"), ("images",), _read_mpii),
        "val": Layout(("annot/valid.json", "annot/valid.h5"), ("images",), _read_mpii),
        "trainval": Layout(release, ("images",), partial(_read_mpii, split="trainval")),
        "test": Layout(("annot/test.json", *release), ("images",), partial(_read_mpii, split="test")),
    }


def _read_mpii(file: Path, images: Path | None, split: str | None = None) -> People:
    return read_mpii(file, images or Path(), split=split if file.suffix == ".mat" else None)


def _lsp() -> dict[str, Layout]:
    def read(file: Path, images: Path | None, split: str) -> People:
        return read_lsp(file.parent, split)

    return {
        split: Layout(("joints.mat",), ("images",), partial(read, split=split)) for split in ("train", "test")
    }


def _h36m() -> dict[str, Layout]:
    folder = "annotation_body3d"
    return {
        split: Layout(
            (f"{folder}/fps10/h36m_{split}.npz", f"{folder}/fps50/h36m_{split}.npz", "data_3d_h36m.npz"),
            ("images", "."),
            partial(_read_h36m, split=split),
        )
        for split in ("train", "test")
    }


def _read_h36m(file: Path, images: Path | None, split: str) -> People:
    """Read either layout; every fifth of VideoPose3D's 50 frames a second, as the other has 10.

    The flat layout is read without cameras where none lie beside it: then what needs the lens says so.
    """
    if file.name != "data_3d_h36m.npz":
        beside = (file.parent / "cameras.pkl", file.parent.parent / "cameras.pkl")
        cameras = next((path for path in beside if path.is_file()), None)
        return read_h36m(file, images or Path(), cameras=cameras)
    cameras = [file.parent / "cameras.pkl", file.parent / "annotation_body3d" / "cameras.pkl"]
    found = _first(cameras, Path.is_file, "the cameras of Human3.6M")
    return read_h36m_videopose(file, found, split=split, images_dir=images or Path(), frame_step=5)


LAYOUTS: dict[str, dict[str, Layout]] = {
    "coco": _coco(("person_keypoints_{}2017.json", "person_keypoints_{}.json"), read_coco),
    "coco-wholebody": _coco(("coco_wholebody_{}_v1.0.json",), read_coco_wholebody),
    "crowdpose": _crowdpose(),
    "ochuman": _ochuman(),
    "mpii": _mpii(),
    "lsp": _lsp(),
    "lsp-extended": {
        "train": Layout(("joints.mat",), ("images",), lambda file, images: read_lsp_extended(file.parent))
    },
    "h36m": _h36m(),
    "own": {
        split: Layout(own.ANNOTATIONS[split], own.IMAGES[split], own.read_own, can_skip=True)
        for split in ("train", "val")
    },
}


def read_dataset(
    name: str, root: str | Path, split: str, *, with_images: bool = True, skip_invalid: bool = False
) -> People:
    """Read one split of a data set from its published folder layout.

    Args:
        name: one of `LAYOUTS`: "coco", "crowdpose", ...
        root: folder of the data set.
        split: as the data set calls it: "train", "val", "test", ...
        with_images: False for poses alone; the image folder may then be missing and no file is named.
        skip_invalid: leave out and count annotations without a usable box, where the format's reader can.

    Raises:
        ValueError: if name or split is unknown, or a file is wrong.
        FileNotFoundError: if a file or folder is missing; says where it was expected.
    """
    layout, root = find_layout(name, split), Path(root)
    file = find_annotations(layout, name, root, split)
    images = None
    if with_images:
        folders = [root / folder for folder in layout.images]
        images = _first(folders, Path.is_dir, f"the images of {name}, split {split}")
    people = layout.read(file, images, **({"skip_invalid": skip_invalid} if layout.can_skip else {}))
    if not with_images:
        people.image_files = [Path()] * len(people)
    return people


def find_layout(name: str, split: str) -> Layout:
    """Return where a split lies; raise ValueError if data set or split is unknown."""
    if name not in LAYOUTS:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(LAYOUTS)}")
    if split not in LAYOUTS[name]:
        raise ValueError(f"{name} has no split {split!r}; it has {', '.join(LAYOUTS[name])}")
    return LAYOUTS[name][split]


def splits_there(name: str, root: str | Path) -> list[str]:
    """Return the splits of a data set whose annotations lie at their place below a folder."""
    return [
        split
        for split, layout in LAYOUTS[name].items()
        if any((Path(root) / file).is_file() for file in layout.annotations)
    ]


def find_annotations(layout: Layout, name: str, root: Path, split: str) -> Path:
    """Return the first annotation file that exists; raise FileNotFoundError that says what was expected."""
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder: {root} (expected the data set {name} in it)")
    files = [root / file for file in layout.annotations]
    return _first(files, Path.is_file, f"the annotations of {name}, split {split}")


def _first(paths: list[Path], exists: Callable[[Path], bool], what: str) -> Path:
    for path in paths:
        if exists(path):
            return path
    raise FileNotFoundError(f"{what} are missing; expected {' or '.join(map(str, paths))}")
