"""Frames out of videos and drawn frames into videos, by PyAV."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pctlib.io import existing_file, write_atomic


class Video(NamedTuple):
    """What the header of a video says.

    rate: frames a second; frames: their number, about, 0 where nothing says it; is_exact: the header counts
    them, so that fewer mean that the file was cut off.
    """

    rate: Fraction
    frames: int
    is_exact: bool = False


class Frame(NamedTuple):
    """One frame: its number from 0, its time in seconds, and its pixels uint8 [H, W, 3] RGB."""

    number: int
    seconds: float
    image: np.ndarray


def describe_video(file: str | Path) -> Video:
    """Return rate and number of frames of a video.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no video that can be read; names the file.
        ModuleNotFoundError: if PyAV is not installed.
    """
    av = load_av()
    try:
        with av.open(str(existing_file(file))) as container:
            stream = _stream(container, file)
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            frames = stream.frames or int(float(container.duration or 0) / av.time_base * rate)
            return Video(Fraction(rate), frames, stream.frames > 0)
    except av.FFmpegError as error:
        raise ValueError(f"{file}: not a video that can be read ({error.strerror or error})") from error


def read_frames(file: str | Path) -> Iterator[Frame]:
    """Yield the frames of a video in the order they are shown, upright.

    Raises:
        ValueError: if the file is damaged or cut off, after the frames before that place; says how many.
    """
    av, number = load_av(), 0
    try:
        with av.open(str(existing_file(file))) as container:
            stream = _stream(container, file)
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                pixels = frame.to_ndarray(format="rgb24")
                turns = round(getattr(frame, "rotation", 0) / 90) % 4
                seconds = float(frame.time) if frame.time is not None else number / float(stream.average_rate)
                yield Frame(number, seconds, np.ascontiguousarray(np.rot90(pixels, turns)))
                number += 1
    except av.FFmpegError as error:
        why = error.strerror or error
        raise ValueError(f"{file}: the video is damaged or cut off after {number} frames ({why})") from error


def write_video(file: str | Path, pictures: Iterable[Image.Image], *, rate: Fraction) -> Path:
    """Write pictures of one size as an MP4 video that browsers play, whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    return write_atomic(file, lambda temporary: _encode(temporary, pictures, rate))


def _encode(file: Path, pictures: Iterable[Image.Image], rate: Fraction) -> None:
    av = load_av()
    with av.open(str(file), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate.limit_denominator(65535))
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "20"}
        for number, picture in enumerate(pictures):
            pixels = np.asarray(picture)
            pixels = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]  # yuv420p: even sides
            if number == 0:
                stream.height, stream.width = pixels.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels))))
        container.mux(stream.encode())


def _stream(container: Any, file: str | Path) -> Any:
    """Return the video stream that is meant."""
    if not container.streams.video:
        raise ValueError(f"{file}: has no pictures, only sound or text")
    return container.streams.video[0]


def load_av() -> ModuleType:
    """Return PyAV.

    Raises:
        ModuleNotFoundError: if it is not installed; says how it is.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("videos need PyAV: pip install 'pctlib[photographs]'") from error
    return av
