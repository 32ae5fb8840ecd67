from pathlib import Path

import pytest

from pctlib.inference.sources import find_sources


@pytest.fixture
def folder(tmp_path):
    inside = ("1.jpg", "2.PNG", "sub/1.jpg", "clip.mp4", "notes.txt", ".hidden/x.jpg")
    for name in (*(f"a/{each}" for each in inside), "b/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(sources):
    return [str(source.name) for source in sources]


def test_a_folder_gives_all_that_is_below_it(folder):
    sources = find_sources([folder / "a"])
    assert names(sources) == ["1.jpg", "2.PNG", "clip.mp4", "sub/1.jpg"]
    assert [source.is_video for source in sources] == [False, False, True, False]
    assert names(find_sources([folder / "a"], without=folder / "a/sub")) == ["1.jpg", "2.PNG", "clip.mp4"]


def test_patterns_files_and_repetition(folder):
    assert names(find_sources([f"{folder}/a/*.*"])) == ["1.jpg", "2.PNG", "clip.mp4"]
    assert names(find_sources([f"{folder}/a/*.jpg", folder / "a/1.jpg"])) == ["1.jpg"]
    odd = folder / "a" / "odd[1].jpg"
    odd.touch()
    assert names(find_sources([odd])) == ["odd[1].jpg"]
    (folder / "picture").touch()
    assert names(find_sources([folder / "picture"])) == ["picture"]  # its ending is not asked


def test_equal_names_get_their_folder_in_front(folder):
    assert names(find_sources([folder / "a/1.jpg", folder / "b/1.jpg"])) == ["a/1.jpg", "b/1.jpg"]
    (folder / "c/a").mkdir(parents=True)
    (folder / "c/a/1.jpg").touch()
    with pytest.raises(ValueError, match=r"a/1\.jpg would both be|would both be written as a/1\.jpg"):
        find_sources([folder / "a/1.jpg", folder / "c/a/1.jpg"])


def test_what_is_not_there_is_named(folder):
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*none\.jpg"):
        find_sources([folder / "none.jpg"])
    with pytest.raises(FileNotFoundError, match=r"nothing fits the pattern .*\*\.gif"):
        find_sources([f"{folder}/*.gif"])
    (folder / "a/sub/1.jpg").unlink()
    with pytest.raises(ValueError, match="sub: no pictures in this folder, but nothing"):
        find_sources([folder / "a/sub"])
    (folder / "a/sub/x.txt").touch()
    with pytest.raises(ValueError, match="but 1 other files; taken are .avi .avif"):
        find_sources([Path(folder / "a/sub")])
    with pytest.raises(ValueError, match="no pictures: name files"):
        find_sources([])
