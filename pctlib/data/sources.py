"""Where the benchmarks are published, and bringing the freely offered ones to disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pctlib.data.archives import extract
from pctlib.data.download import ask_remote, fetch, readable_size
from pctlib.io import read_json, write_json

_RECORD = "downloads.json"  # in the data set's folder: what has been fetched and unpacked


@dataclass(frozen=True)
class Archive:
    """One published file.

    Attributes:
        part: name by which it can be asked for alone.
        url: its address.
        checksum: "md5:..." or None; COCO publishes none, these are the sums that public data loaders agree
            on.
    """

    part: str
    url: str
    checksum: str | None = None


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        title: its name and what it holds.
        homepage: page of the authors.
        terms: under which it may be used.
        archives: what can be fetched without asking.
        steps: what has to be done by hand, one a line; empty if nothing.
        layout: files as the reader expects them below the root.
    """

    title: str
    homepage: str
    terms: str
    archives: tuple[Archive, ...]
    steps: tuple[str, ...]
    layout: tuple[str, ...]


_COCO_URL = "http://images.cocodataset.org"
_COCO_IMAGES = (
    Archive("val", f"{_COCO_URL}/zips/val2017.zip", checksum="md5:442b8da7639aecaf257c1dceb8ba8c80"),
    Archive("train", f"{_COCO_URL}/zips/train2017.zip", checksum="md5:cced6f7f71b7629ddf16f17bbcfab6b2"),
)
_COCO_TERMS = "annotations CC BY 4.0; images under the licence of each Flickr photograph"
_MPI_URL = "https://datasets.d2.mpi-inf.mpg.de/andriluka14cvpr"

SOURCES: dict[str, Source] = {
    "coco": Source(
        title="COCO 2017, 17 keypoints",
        homepage="https://cocodataset.org",
        terms=_COCO_TERMS,
        archives=(
            Archive(
                "annotations",
                f"{_COCO_URL}/annotations/annotations_trainval2017.zip",
                checksum="md5:f4bbac642086de4f52a3fdda2de5fa2c",
            ),
            *_COCO_IMAGES,
        ),
        steps=(
            "Only for detected boxes: COCO_val2017_detections_AP_H_56_person.json, linked in the read-me of "
            "https://github.com/leoxiaobin/deep-high-resolution-net.pytorch, goes into "
            "person_detection_results/.",
        ),
        layout=(
            "annotations/person_keypoints_train2017.json",
            "annotations/person_keypoints_val2017.json",
            "train2017/000000000009.jpg ...",
            "val2017/000000000139.jpg ...",
        ),
    ),
    "coco-wholebody": Source(
        title="COCO-WholeBody v1.0, 133 keypoints on the images of COCO 2017",
        homepage="https://github.com/jin-s13/COCO-WholeBody",
        terms="research and non-commercial use; images as COCO",
        archives=_COCO_IMAGES,
        steps=(
            "Fetch coco_wholebody_train_v1.0.json and coco_wholebody_val_v1.0.json from the links in the "
            "read-me of the home page (Google Drive or OneDrive) and put them into annotations/.",
        ),
        layout=(
            "annotations/coco_wholebody_train_v1.0.json",
            "annotations/coco_wholebody_val_v1.0.json",
            "train2017/000000000009.jpg ...",
            "val2017/000000000139.jpg ...",
        ),
    ),
    "mpii": Source(
        title="MPII Human Pose, 16 keypoints",
        homepage="http://human-pose.mpi-inf.mpg.de",
        terms="research use; the images belong to their owners",
        archives=(
            Archive("annotations", f"{_MPI_URL}/mpii_human_pose_v1_u12_2.zip"),
            Archive("images", f"{_MPI_URL}/mpii_human_pose_v1.tar.gz"),
        ),
        steps=(
            "The release has no validation split. Fetch train.json and valid.json from the links in the "
            "read-me of https://github.com/leoxiaobin/deep-high-resolution-net.pytorch into annot/.",
            "For `evaluate mpii` put valid.h5 of the stacked hourglass code there, too "
            "(https://github.com/princeton-vl/pose-hg-train): it alone holds the sizes of the heads.",
        ),
        layout=(
            "annot/train.json or annot/train.h5",
            "annot/valid.json or annot/valid.h5",
            "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat",
            "images/000001163.jpg ...",
        ),
    ),
    "lsp": Source(
        title="Leeds Sports Pose, 14 keypoints, 2000 images",
        homepage="http://sam.johnson.io/research/lsp.html",
        terms="research use; images from Flickr",
        archives=(Archive("all", "http://sam.johnson.io/research/lsp_dataset.zip"),),
        steps=(),
        layout=("joints.mat (3 x 14 x 2000)", "images/im0001.jpg ... im2000.jpg"),
    ),
    "lsp-extended": Source(
        title="Leeds Sports Pose Extended Training, 14 keypoints, 10000 images",
        homepage="http://sam.johnson.io/research/lspet.html",
        terms="research use; images from Flickr",
        archives=(Archive("all", "http://sam.johnson.io/research/lspet_dataset.zip"),),
        steps=(),
        layout=("joints.mat (14 x 3 x 10000)", "images/im00001.jpg ... im10000.jpg"),
    ),
    "crowdpose": Source(
        title="CrowdPose, 14 keypoints, crowded scenes",
        homepage="https://github.com/Jeff-sjtu/CrowdPose",
        terms="research use",
        archives=(),
        steps=(
            "Fetch images.zip and the annotations from the Google Drive links in the home page's read-me.",
            "Unpack images.zip so that images/ lies in the root, and put the four JSON files into json/.",
        ),
        layout=(
            "json/crowdpose_train.json, crowdpose_val.json, crowdpose_trainval.json, crowdpose_test.json",
            "images/100000.jpg ...",
        ),
    ),
    "ochuman": Source(
        title="OCHuman, 17 keypoints, heavily occluded people",
        homepage="https://github.com/liruilong940607/OCHumanApi",
        terms="research use",
        archives=(),
        steps=(
            "Fill in the form linked in the read-me of the home page; the mail that follows has the link.",
            "Unpack images.zip and put the two JSON files in COCO format into annotations/.",
        ),
        layout=(
            "annotations/ochuman_coco_format_val_range_0.00_1.00.json",
            "annotations/ochuman_coco_format_test_range_0.00_1.00.json",
            "images/000001.jpg ...",
        ),
    ),
    "h36m": Source(
        title="Human3.6M, 17 keypoints in 3D",
        homepage="http://vision.imar.ro/human3.6m",
        terms="academic use by registered users only; may not be passed on",
        archives=(),
        steps=(
            "Register on the home page with an institutional address and fetch the poses, and the videos if "
            "images are wanted.",
            "Either run the Human3.6M preprocessing script of https://github.com/open-mmlab/mmpose, which "
            "writes annotation_body3d/ and images/,",
            "or make data_3d_h36m.npz as DATASETS.md of https://github.com/facebookresearch/VideoPose3D "
            "says, and put the cameras.pkl of the first way beside it.",
        ),
        layout=(
            "annotation_body3d/fps10/h36m_train.npz, h36m_test.npz (or fps50/)",
            "annotation_body3d/cameras.pkl",
            "images/S1/S1_Directions_1.54138969/S1_Directions_1.54138969_000001.jpg ...",
            "or: data_3d_h36m.npz and cameras.pkl",
        ),
    ),
}


def source(name: str) -> Source:
    """Return where the data set `name` comes from.

    Raises:
        ValueError: if there is no such data set.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(SOURCES)}")
    return SOURCES[name]


def choose(name: str, parts: list[str] | None) -> list[Archive]:
    """Return the archives of a data set, all or those of the given parts.

    Raises:
        ValueError: if the data set or a part is unknown.
    """
    archives = source(name).archives
    known = [archive.part for archive in archives]
    unknown = [part for part in parts or [] if part not in known]
    if unknown:
        offered = ", ".join(known) if known else "none, it has to be fetched by hand"
        raise ValueError(f"{name} has no part {unknown[0]!r}; it offers {offered}")
    return [archive for archive in archives if not parts or archive.part in parts]


def by_hand(name: str, root: Path) -> str:
    """Return in words what has to be done by hand and how the folder `root` must look in the end."""
    wanted = source(name)
    lines = [f"{wanted.title}", f"  home page: {wanted.homepage}", f"  terms: {wanted.terms}"]
    if wanted.steps:
        lines += ["By hand:", *(f"  {i}. {step}" for i, step in enumerate(wanted.steps, start=1))]
    return "\n".join([*lines, f"Expected below {root}:", *(f"  {line}" for line in wanted.layout)])


def missing(archives: list[Archive], root: Path, *, say: Callable[[str], None]) -> list[Archive]:
    """Return the archives that `root`/downloads.json does not list, and say where and how big they are.

    Args:
        archives: what is wanted.
        root: folder of the data set.
        say: is given each line; a server that does not answer leaves its size unknown.
    """
    done = _done(root)
    wanted = [archive for archive in archives if archive.url not in done]
    for archive in archives:
        if archive.url in done:
            say(f"{archive.part}: already unpacked ({root / _RECORD} lists it)")
    sizes = [ask_remote(archive.url).size for archive in wanted]
    for archive, size in zip(wanted, sizes, strict=True):
        say(f"{archive.part}: {archive.url} ({'size unknown' if size is None else readable_size(size)})")
    if len(wanted) > 1 and None not in sizes:
        say(f"together {readable_size(sum(sizes))}, and as much again while they are unpacked")
    return wanted


def get(
    archives: list[Archive],
    root: Path,
    *,
    say: Callable[[str], None],
    keep_archives: bool = False,
    progress: bool = True,
    pause: float = 2.0,
) -> None:
    """Fetch, check and unpack archives below `root`, and list them in `root`/downloads.json.

    Args:
        archives: what to fetch, in this order.
        root: folder of the data set, made if missing.
        say: is given a line about each archive that is done.
        keep_archives: whether the archives stay after they were unpacked.
        progress: whether to draw progress bars.
        pause: seconds before a failed transfer is tried again, doubled each time.

    Raises:
        ConnectionError, ValueError, OSError: as `fetch` and `extract`; what was fetched before stays.
    """
    for archive in archives:
        file = root / Path(archive.url).name
        fetch(archive.url, file, checksum=archive.checksum, progress=progress, pause=pause)
        size = file.stat().st_size
        files = extract(file, root, progress=progress)
        entry = {"bytes": size, "checksum": archive.checksum, "files": files}
        write_json(root / _RECORD, {**_done(root), archive.url: entry})
        if not keep_archives:
            file.unlink()
        checked = "checksum agrees" if archive.checksum else "the publisher gives no checksum"
        say(f"{archive.part}: {readable_size(size)}, {checked}, {files} files unpacked in {root}")


def _done(root: Path) -> dict[str, dict]:
    """Return what has been unpacked below `root`, by address."""
    record = root / _RECORD
    return read_json(record) if record.is_file() else {}
