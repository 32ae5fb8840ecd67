import numpy as np
import pytest
import torch

from pctlib.data.patches import Patches
from pctlib.data.procedural.scene import render_person
from pctlib.profiles.backbones import StartPeopleProfile
from pctlib.profiles.sections import CropProfile
from pctlib.study.backbones.people import MARGIN, load_shards, make_shards, read_shard, shards_of, val_shard
from pctlib.study.people import TRAIN_SEED, VAL_SEED

CROP = CropProfile(input_height=32, input_width=32)
PEOPLE = StartPeopleProfile(
    images=5, val_images=2, shard_images=3, image_size=64, seed=1_000_000, val_seed=2_000_000
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("people")
    made = [*shards_of(PEOPLE, root), val_shard(PEOPLE, root)]
    make_shards(made, PEOPLE, CROP, workers=1, progress=False)
    return made


def test_shards_hold_people_and_their_patches(shards):
    people, pixels = load_shards(shards[:2], CROP, torch.device("cpu"))
    assert len({*people.image_ids.tolist()}) == 5
    assert pixels.shape == (len(people), 3, 48, 48)
    cut = Patches(people, CROP.input_size, padding=CROP.padding, margin=MARGIN).cached(1 << 24)
    batch = cut.batch(range(len(people)))
    torch.testing.assert_close(pixels, batch["patch"], rtol=0, atol=0)


def test_what_is_made_is_not_made_again(shards, monkeypatch):
    monkeypatch.setattr("pctlib.study.backbones.people._make_shard", None)
    make_shards(shards, PEOPLE, CROP, workers=1, progress=False)


def test_people_of_the_studies_are_others(shards):
    """The first picture of every shard beside the first of the people that teach and measure in studies."""
    theirs = [
        render_person(seed, 0, image_size=64).people[0].keypoints_image[:17]
        for seed in (TRAIN_SEED, VAL_SEED)
    ]
    for shard in shards:
        mine = read_shard(shard).keypoints_image[0]
        assert all(np.abs(mine - other).max() > 1 for other in theirs)


def test_patches_of_other_people_are_refused(shards):
    file = next(shards[0].folder.glob("*.npy"))
    whole = np.load(file)
    np.save(file, whole[1:])
    with pytest.raises(ValueError, match="patches of"):
        load_shards(shards[:1], CROP, torch.device("cpu"))
    np.save(file, whole)
