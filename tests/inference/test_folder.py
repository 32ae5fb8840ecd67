import csv
import json
from fractions import Fraction

import numpy as np
import pytest
from helpers.coloured_joints import SKELETON, network, picture
from PIL import Image
from pycocotools.coco import COCO

from pctlib.inference.boxes import BoxFile
from pctlib.inference.folder import FolderOptions, predict_folder
from pctlib.inference.network import PoseNetwork
from pctlib.inference.predictor import Predictor
from pctlib.inference.sources import find_sources
from pctlib.inference.videos import read_frames, write_video

JOINTS = np.array([[50.0, 40.0], [90.0, 70.0]])
QUIET = {"progress": False, "whole": True}


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.jpg", "sub/a.png", "sub/c.bmp")):
        Image.fromarray(picture(JOINTS + np.array([number, 0]))).save(folder / name, subsampling=0)
    return folder


def run(folder, out, *, predictor=None, **options):
    sources = find_sources([folder], without=out)
    return predict_folder(predictor or Predictor(network()), sources, out, FolderOptions(**QUIET, **options))


def test_drawn_pictures_results_and_table(photographs, tmp_path):
    out = tmp_path / "out"
    assert run(photographs, out) == {}
    drawn = sorted(str(path.relative_to(out / "drawn")) for path in (out / "drawn").rglob("*.*"))
    assert drawn == ["a.png", "b.jpg", "sub/a.png", "sub/c.bmp.jpg"]
    coco = COCO(str(out / "images.json"))
    results = coco.loadRes(str(out / "results.json"))
    assert coco.cats[1]["keypoints"] == list(SKELETON.keypoint_names)
    assert coco.cats[1]["skeleton"] == [[1, 2]]
    with (out / "keypoints.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * 2
    for number, name in enumerate(("a.png", "b.jpg", "sub/a.png", "sub/c.bmp")):
        (image_id,) = (each["id"] for each in coco.imgs.values() if each["file_name"] == name)
        assert (coco.imgs[image_id]["width"], coco.imgs[image_id]["height"]) == (160, 120)
        (found,) = results.loadAnns(results.getAnnIds([image_id]))
        joints = np.reshape(found["keypoints"], (2, 3))
        assert np.abs(joints[:, :2] - JOINTS - [number, 0]).max() < 0.5
        own = [row for row in rows if row["file"] == name]
        assert [row["keypoint"] for row in own] == ["left_dot", "right_dot"]
        assert [float(row["x"]) for row in own] == pytest.approx(joints[:, 0])
        assert own[0]["track"] == own[0]["frame"] == ""


def counting():
    seen, plain = [], network()

    def find(crops):
        seen.append(len(crops))
        return plain.find(crops)

    return seen, Predictor(PoseNetwork(find, SKELETON, plain.input_size), batch_size=1)


def test_an_interrupted_run_goes_on_and_changed_pictures_are_done_again(photographs, tmp_path):
    out = tmp_path / "out"
    seen, predictor = counting()
    run(photographs, out, predictor=predictor)
    expected = (out / "results.json").read_text()
    assert sum(seen) == 4
    run(photographs, out, predictor=predictor)
    assert sum(seen) == 4
    (out / "poses/b.jpg.json").unlink()
    (out / "drawn/sub/a.png").unlink()
    run(photographs, out, predictor=predictor)
    assert sum(seen) == 6
    assert (out / "results.json").read_text() == expected
    Image.fromarray(picture(JOINTS + 5)).save(photographs / "a.png")
    run(photographs, out, predictor=predictor)
    assert sum(seen) == 7
    assert (out / "results.json").read_text() != expected


def test_without_drawing_no_picture_is_written(photographs, tmp_path):
    run(photographs, tmp_path / "out", draw=False)
    assert not (tmp_path / "out/drawn").exists()
    assert len(json.loads((tmp_path / "out/results.json").read_text())) == 4


def test_broken_pictures_are_listed_and_the_rest_is_done(photographs, tmp_path):
    (photographs / "b.jpg").write_text("no picture")
    (photographs / "zero.png").touch()
    broken = run(photographs, tmp_path / "out")
    assert sorted(broken) == [str(photographs / "b.jpg"), str(photographs / "zero.png")]
    assert "not an image that can be read" in broken[str(photographs / "b.jpg")]
    assert len(json.loads((tmp_path / "out/results.json").read_text())) == 3


def test_boxes_of_a_file(photographs, tmp_path):
    table = tmp_path / "boxes.csv"
    table.write_text("file,x,y,width,height\na.png,30,20,80,70\nsub/c.bmp,300,20,80,70\n")
    options = FolderOptions(boxes=BoxFile(table), progress=False)
    sources = find_sources([photographs / "a.png", photographs / "b.jpg", photographs / "sub/c.bmp"])
    broken = predict_folder(Predictor(network()), sources, tmp_path / "out", options)
    (found,) = json.loads((tmp_path / "out/results.json").read_text())
    assert found["bbox"] == [30, 20, 80, 70]
    assert "has no box for it" in broken[str(photographs / "b.jpg")]
    assert "box 0 lies outside the picture" in broken[str(photographs / "sub/c.bmp")]


def test_a_folder_of_other_settings_or_a_file_is_refused(photographs, tmp_path):
    run(photographs, tmp_path / "out", settings={"weights": "a"})
    with pytest.raises(ValueError, match=r"out: holds results of other settings \(weights: a, now b\)"):
        run(photographs, tmp_path / "out", settings={"weights": "b"})
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file; results go into a folder"):
        run(photographs, tmp_path / "file")


def test_the_missing_detector_stops_the_run_instead_of_breaking_each_picture(photographs, tmp_path):
    predictor = Predictor(network(), detector="none")
    options = FolderOptions(progress=False)
    with pytest.raises(ValueError, match="detector: expected auto or one of"):
        predict_folder(predictor, find_sources([photographs]), tmp_path / "out", options)


def film(path, count=12):
    frames = (Image.fromarray(picture(JOINTS + n, radius=6)) for n in range(count))
    return write_video(path, frames, rate=Fraction(10))


def test_a_video_gives_a_video_and_people_with_numbers(tmp_path):
    pytest.importorskip("av")
    film(tmp_path / "clip.mp4")
    assert run(tmp_path / "clip.mp4", tmp_path / "out") == {}
    assert len(list(read_frames(tmp_path / "out/drawn/clip.mp4"))) == 12
    content = json.loads((tmp_path / "out/images.json").read_text())
    assert [image["frame"] for image in content["images"]] == list(range(12))
    assert content["images"][5]["seconds"] == pytest.approx(0.5)
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert [entry["track_id"] for entry in results] == [1] * 12
    last = np.reshape(results[-1]["keypoints"], (2, 3))[:, :2]
    assert np.abs(last - JOINTS - 11).max() < 1.5
    run(tmp_path / "clip.mp4", tmp_path / "smooth", smooth=True)
    smoothed = json.loads((tmp_path / "smooth/results.json").read_text())
    assert results[0]["keypoints"] == smoothed[0]["keypoints"] != smoothed[-1]["keypoints"]
    assert results[-1]["keypoints"] != smoothed[-1]["keypoints"]


def test_a_video_that_ends_early_is_kept_as_far_as_it_goes(tmp_path):
    pytest.importorskip("av")
    content = film(tmp_path / "clip.mp4", 60).read_bytes()
    (tmp_path / "clip.mp4").write_bytes(content[: int(len(content) * 0.6)])
    broken = run(tmp_path / "clip.mp4", tmp_path / "out")
    assert "kept" in broken[str(tmp_path / "clip.mp4")]
    count = len(json.loads((tmp_path / "out/results.json").read_text()))
    assert 1 < count < 60
    assert len(list(read_frames(tmp_path / "out/drawn/clip.mp4"))) == count
    (tmp_path / "clip.mp4").write_text("no video")
    assert "not a video" in run(tmp_path / "clip.mp4", tmp_path / "other")[str(tmp_path / "clip.mp4")]


def test_without_the_reader_of_videos_nothing_is_begun(photographs, tmp_path, monkeypatch):
    (photographs / "b.mp4").write_bytes(b"0")

    def load_av():
        raise ModuleNotFoundError("videos need PyAV")

    monkeypatch.setattr("pctlib.inference.folder.load_av", load_av)
    with pytest.raises(ModuleNotFoundError, match="videos need PyAV"):
        run(photographs, tmp_path / "out")
    assert not (tmp_path / "out" / "drawn").exists()
