"""Predict whole folders and videos: drawn pictures, one COCO results file and a table, resumable."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from pctlib.inference.boxes import BoxFile
from pctlib.inference.poses import MIN_SCORE, PhotoPoses, save_picture
from pctlib.inference.predictor import Cut, Predictor
from pctlib.inference.records import Records
from pctlib.inference.sources import Source
from pctlib.inference.tracking import OneEuro, Tracker
from pctlib.inference.videos import Frame, describe_video, load_av, read_frames, write_video

_AHEAD = 4  # photographs that are read while the network is at work
_READERS = 2


@dataclass(frozen=True)
class FolderOptions:
    """How a folder is predicted.

    Attributes:
        boxes: of the people; None: the detector finds them.
        whole: take each picture as one person who fills it.
        draw: write drawn pictures and videos.
        min_score: joints that score less are not drawn.
        smooth: let poses of videos tremble less, by the One Euro filter.
        settings: JSON values that tell these results from others; a folder holds results of one kind.
        progress: show a progress bar.
    """

    boxes: BoxFile | None = None
    whole: bool = False
    draw: bool = True
    min_score: float = MIN_SCORE
    smooth: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    progress: bool = True


def predict_folder(
    predictor: Predictor, sources: Sequence[Source], out: str | Path, options: FolderOptions
) -> dict[str, str]:
    """Predict pictures and videos; what is done already is not done again.

    Below `out`: `drawn/` with the pictures and videos, `results.json` (COCO results), `images.json` (the
    pictures that its `image_id` means, and the keypoints), `keypoints.csv` (a line a joint), and `poses/`,
    one file a source, by which an interrupted run goes on.

    Returns:
        Files that could not be read, or not to their end, each with the reason; the rest is done.

    Raises:
        ValueError: if `out` holds results of other settings.
        OSError: if nothing can be written there.
        ModuleNotFoundError: if there is a video, and PyAV is not installed.
    """
    records, broken = Records(Path(out), options.settings), {}
    waiting = [source for source in sources if not records.has(source, drawn=options.draw)]
    if any(source.is_video for source in waiting):
        load_av()  # what is missing is said before anything is done
    if waiting and options.boxes is None and not options.whole:
        predictor.prepare_detector()  # not in the threads that read; and its error stops the run
    _photographs(predictor, [each for each in waiting if not each.is_video], records, options, broken)
    for source in waiting:
        if source.is_video:
            try:
                _film(predictor, source, records, options, broken)
            except ValueError as error:
                broken[str(source.file)] = str(error)
    records.gather(sources, predictor.skeleton)
    return broken


def _photographs(
    predictor: Predictor,
    sources: Sequence[Source],
    records: Records,
    options: FolderOptions,
    broken: dict[str, str],
) -> None:
    def keep(source: Source, people: PhotoPoses) -> None:
        if options.draw:
            save_picture(people.draw(min_score=options.min_score), records.drawn(source))
        records.write(source, [{"size": people.image.shape[:2], "people": people.coco_results(0)}])

    read: list[Source] = []
    cuts = _read_ahead(predictor, sources, options, broken, read)
    bar = tqdm(total=len(sources), unit="picture", disable=not options.progress or not sources)
    with bar, ThreadPoolExecutor(1) as writer:
        written: list[Future] = []
        for people in predictor.stream(cuts):
            written.append(writer.submit(keep, read.pop(0), people))
            while len(written) > _AHEAD:
                written.pop(0).result()  # an error of writing, such as a full disk, stops the run
            bar.update()
        for each in written:
            each.result()


def _read_ahead(
    predictor: Predictor,
    sources: Sequence[Source],
    options: FolderOptions,
    broken: dict[str, str],
    read: list[Source],
) -> Iterator[Cut]:
    """Yield photographs cut into crops, and note in `read` which; the next are read meanwhile."""

    def cut(source: Source) -> Cut:
        boxes = None if options.boxes is None else options.boxes.of(source.file)
        return predictor.cut(source.file, boxes, whole_image=options.whole)

    with ThreadPoolExecutor(_READERS) as readers:
        for source, future in _ahead(readers, cut, sources):
            try:
                found = future.result()
            except (ValueError, OSError) as error:
                broken[str(source.file)] = str(error)
                continue
            read.append(source)
            yield found


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Source], Cut], sources: Sequence[Source]
) -> Iterator[tuple[Source, Future]]:
    """Yield the sources with their work begun, a few before they are wanted."""
    rest = iter(sources)
    begun = [(source, pool.submit(work, source)) for source in islice(rest, _AHEAD)]
    while begun:
        yield begun.pop(0)
        begun += [(source, pool.submit(work, source)) for source in islice(rest, 1)]


def _film(
    predictor: Predictor, source: Source, records: Records, options: FolderOptions, broken: dict[str, str]
) -> None:
    """Predict a video frame by frame; one that ends early is kept as far as it goes."""
    if options.boxes is not None:
        raise ValueError(f"{source.file}: a file of boxes is for pictures; let a detector look at videos")
    video, frames = describe_video(source.file), []

    def found() -> Iterator[PhotoPoses]:
        bar = tqdm(
            total=video.frames or None, desc=source.file.name, unit="frame", disable=not options.progress
        )
        with bar:
            for frame, people in _tracked(predictor, source, options, broken):
                entry = {"frame": frame.number, "seconds": round(frame.seconds, 4)}
                entry |= {"size": people.image.shape[:2], "people": people.coco_results(0)}
                frames.append(entry)
                bar.update()
                yield people

    if options.draw:
        drawn = (people.draw(min_score=options.min_score) for people in found())
        write_video(records.drawn(source), drawn, rate=video.rate)
    else:
        for _ in found():
            pass
    if video.is_exact and len(frames) < video.frames:
        early = f"the video ends after {len(frames)} of {video.frames} frames, which are kept"
        broken.setdefault(str(source.file), early)
    records.write(source, frames)


def _tracked(
    predictor: Predictor, source: Source, options: FolderOptions, broken: dict[str, str]
) -> Iterator[tuple[Frame, PhotoPoses]]:
    """Yield the frames of a video with their people, each with a number that stays."""
    tracker, smooth, read = Tracker(), OneEuro(), []

    def cuts() -> Iterator[Cut]:
        number = 0
        try:
            for number, frame in enumerate(read_frames(source.file)):
                read.append(frame._replace(image=frame.image[:0]))  # the pixels travel with the cut
                name = f"{source.file}, frame {number}"
                yield predictor.cut(frame.image, whole_image=options.whole, file=name)
        except ValueError as error:
            if number == 0:
                raise
            broken[str(source.file)] = f"{error}; what came before is kept"

    for people in predictor.stream(cuts()):
        frame, tracked = read.pop(0), tracker(people)
        yield frame, smooth(tracked, frame.seconds) if options.smooth else tracked
