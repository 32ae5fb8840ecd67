"""File names of annotation files, as they really come, lead to files on disk."""

import pytest

from pctlib.data.image_names import ImageFolder, can_be_name, nearest_file
from pctlib.data.images import read_image


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images" / "val2017"
    (folder / "sub").mkdir(parents=True)
    for name in ("0001.jpg", "a b.jpg", "sub/2.png", "odd.JPG", "per%20cent.jpg", "Twin.jpg", "TWIN.jpg"):
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("0001.jpg", "0001.jpg"),
        ("sub/2.png", "sub/2.png"),
        ("sub\\2.png", "sub/2.png"),
        (".\\sub\\2.png", "sub/2.png"),
        ("/0001.jpg", "0001.jpg"),
        ("a%20b.jpg", "a b.jpg"),
        ("per%20cent.jpg", "per%20cent.jpg"),  # what is there counts first
        ("val2017/0001.jpg", "0001.jpg"),
        ("images/val2017/0001.jpg", "0001.jpg"),
        ("/data/coco/val2017/sub/2.png", "sub/2.png"),
        ("C:\\coco\\val2017\\0001.jpg", "0001.jpg"),
        ("http://images.cocodataset.org/val2017/0001.jpg", "0001.jpg"),
        ("https://host/files/a%20b.jpg?size=3", "a b.jpg"),
        ("0001.JPG", "0001.jpg"),
        ("odd.jpg", "odd.JPG"),
        ("val2017\\ODD.jpg", "odd.JPG"),
    ],
)
def test_names_are_read_where_their_meaning_is_sure(folder, written, file):
    assert ImageFolder(folder).find(written) == folder / file


@pytest.mark.parametrize(
    "written", ["twin.jpg", "train2017/0001.jpg", "0002.jpg", "sub/0001.jpg", "../0001.jpg"]
)
def test_names_of_unsure_meaning_stay_as_they_are(folder, written):
    assert ImageFolder(folder).find(written) == folder / written


def test_an_absolute_name_of_a_file_that_is_there_is_taken(folder, tmp_path):
    (tmp_path / "else.jpg").write_bytes(b"x")
    assert ImageFolder(folder).find(str(tmp_path / "else.jpg")) == tmp_path / "else.jpg"


def test_a_missing_image_is_named_with_what_lies_nearest(folder):
    with pytest.raises(FileNotFoundError, match=r"0001\.png; nearest in its folder: 0001\.jpg"):
        read_image(folder / "0001.png")
    with pytest.raises(FileNotFoundError, match=r"0003\.jpg; nearest in its folder: 0001\.jpg"):
        read_image(folder / "0003.jpg")
    with pytest.raises(FileNotFoundError, match=r"gone/0003\.jpg$"):
        read_image(folder / "gone" / "0003.jpg")
    assert nearest_file(folder / "zzzzzzzz.txt") is None


def test_accents_composed_and_decomposed_are_one_name(folder):
    (folder / "cafe\u0301.jpg").write_bytes(b"x")  # as a Mac writes it
    assert ImageFolder(folder).find("caf\u00e9.jpg") == folder / "cafe\u0301.jpg"


@pytest.mark.parametrize(
    ("name", "can"),
    [
        ("a.jpg", True),
        ("a" * 300 + ".jpg", False),
        ("sub/" + "a" * 250, True),
        ("a\0.jpg", False),
        ("\ud800.jpg", False),
        ("日" * 90 + ".jpg", False),
    ],
)
def test_names_that_no_file_can_have(name, can):
    assert can_be_name(name) is can
