from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from pctlib.inference.videos import describe_video, read_frames, write_video

av = pytest.importorskip("av")


def pictures(count, size=(40, 62)):
    for number in range(count):
        yield Image.new("RGB", size[::-1], (10 * number, 100, 200 - 10 * number))


def test_what_is_written_is_read(tmp_path):
    file = write_video(tmp_path / "a.mp4", pictures(10), rate=Fraction(30000, 1001))
    assert describe_video(file) == (Fraction(30000, 1001), 10, True)
    frames = list(read_frames(file))
    assert [frame.number for frame in frames] == list(range(10))
    assert frames[9].seconds == pytest.approx(9 * 1001 / 30000, abs=1e-3)
    for number, frame in enumerate(frames):
        assert frame.image.shape == (40, 62, 3)
        assert np.abs(frame.image.mean((0, 1)) - [10 * number, 100, 200 - 10 * number]).max() < 6


def test_odd_sides_lose_their_last_line(tmp_path):
    file = write_video(tmp_path / "a.mp4", pictures(2, (41, 63)), rate=Fraction(10))
    assert next(read_frames(file)).image.shape == (40, 62, 3)


def test_a_video_that_ends_early_gives_what_is_there(tmp_path):
    with av.open(str(tmp_path / "a.ts"), "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in pictures(50, (48, 64)):
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    content = (tmp_path / "a.ts").read_bytes()
    (tmp_path / "b.ts").write_bytes(content[: len(content) // 2])
    assert 5 < len(list(read_frames(tmp_path / "b.ts"))) < 50


def test_files_that_are_no_videos_are_named(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    for read in (describe_video, lambda file: list(read_frames(file))):
        with pytest.raises(ValueError, match=r"a\.mp4: (not a video|the video is damaged)"):
            read(tmp_path / "a.mp4")
        with pytest.raises(FileNotFoundError, match="none"):
            read(tmp_path / "none.mp4")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ValueError, match="has no pictures, only sound or text"):
        describe_video(tmp_path / "sound.wav")


def test_nothing_is_left_of_a_video_that_could_not_be_finished(tmp_path):
    def failing():
        yield from pictures(3)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_video(tmp_path / "a.mp4", failing(), rate=Fraction(25))
    assert list(tmp_path.iterdir()) == []
