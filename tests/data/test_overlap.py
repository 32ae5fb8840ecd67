from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.study_people import make_people
from PIL import Image

from pctlib.data import overlap
from pctlib.data.overlap import WHY, PixelHashes, shared_images, without_shared


@pytest.fixture
def sets(tmp_path):
    """Return training and test people; images 1 and 3 of training are the test's 0 and 2, otherwise named."""
    train, test = make_people(tmp_path / "train", 5, seed=1), make_people(tmp_path / "test", 4, seed=2)
    train.image_files[1].write_bytes(test.image_files[0].read_bytes())
    again = Image.open(test.image_files[2])
    again.save(train.image_files[3], compress_level=0)  # the same pixels in other bytes
    return train, test


def test_copies_are_found_by_their_pixels(sets):
    train, test = sets
    assert train.image_files[3].read_bytes() != test.image_files[2].read_bytes()
    found = shared_images([train], [test], PixelHashes(), progress=False)
    assert found == {train.image_files[1]: test.image_files[0], train.image_files[3]: test.image_files[2]}
    assert shared_images([test], [make_people(test.image_files[0].parent / "c", 3)], PixelHashes()) == {}


def test_they_are_left_out_and_counted_refused_or_kept(sets):
    train, test = sets
    (kept,) = without_shared([train], [test], "leave out", PixelHashes(), progress=False)
    assert kept.annotation_ids.tolist() == train.annotation_ids[[0, 2, 4]].tolist()
    assert kept.excluded == {WHY: 2}
    with pytest.raises(
        ValueError, match=r"2 images of the training sets are images of .* such as .*001\.png"
    ):
        without_shared([train], [test], "refuse", PixelHashes(), progress=False)
    assert without_shared([train], [test], "keep", None) == [train]
    clean = [train.select([0, 2])]
    assert without_shared(clean, [test], "refuse", PixelHashes(), progress=False)[0] is clean[0]
    with pytest.raises(ValueError, match="every image is one of a validation or test set"):
        without_shared([train.select([1])], [test], "leave out", PixelHashes(), progress=False)


def test_hashes_are_remembered_until_a_file_changes(sets, tmp_path, monkeypatch):
    train, test = sets
    first = PixelHashes(tmp_path / "hashes.json")(train.image_files, progress=False)
    read, plain = [], overlap.read_image
    monkeypatch.setattr(overlap, "read_image", lambda file: read.append(file) or plain(file))
    assert PixelHashes(tmp_path / "hashes.json")(train.image_files, progress=False) == first
    assert read == []
    train.image_files[0].write_bytes(test.image_files[1].read_bytes())
    second = PixelHashes(tmp_path / "hashes.json")(train.image_files, progress=False)
    assert len(read) == 1
    assert second[0] != first[0]
    assert second[1:] == first[1:]


def test_only_images_of_one_size_are_decoded_also_where_the_sides_are_exchanged(sets, monkeypatch):
    train, test = sets
    monkeypatch.setattr(overlap, "read_image", lambda file: pytest.fail("nothing is to be decoded"))
    other = replace(train, image_sizes=np.full((5, 2), 50))
    assert shared_images([other], [test], PixelHashes(), progress=False) == {}
    monkeypatch.undo()
    said = replace(test, image_sizes=np.zeros((4, 2), int))  # unknown: the file is asked
    assert len(shared_images([train], [said], PixelHashes(), progress=False)) == 2


def test_missing_and_broken_images_equal_nothing(sets):
    train, test = sets
    for people in (train, test):
        people.image_files[0].write_text("no picture")
    gone = replace(train, image_files=[*train.image_files[:4], Path("gone.png")])
    assert len(shared_images([gone], [test], PixelHashes(), progress=False)) == 1
    bare = replace(train, image_files=[Path()] * 5)
    assert shared_images([bare], [test], PixelHashes(), progress=False) == {}
