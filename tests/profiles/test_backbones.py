import pytest
import yaml

from pctlib.io import read_json
from pctlib.paths import project_root
from pctlib.profiles.backbones import load_start_profile, start_backbones, start_file
from pctlib.profiles.profile import load_profile, profile_names
from pctlib.study.people import TRAIN_SEED, VAL_SEED
from pctlib.training.shipped import FOLDER, shipped_names


def changed(tmp_path, **people):
    values = yaml.safe_load(start_file().read_text())
    values["people"] |= people
    path = tmp_path / "plan.yml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_people_that_teach_the_shipped_weights_are_none_that_a_profile_measures():
    plan = load_start_profile(start_file())
    assert plan.people.seeds.isdisjoint(taken_seeds())
    assert len(plan.people.seeds) == len(plan.people.shards) + 1  # those that measure are others again


def taken_seeds():
    """Return the seeds of the people that any profile learns from or measures."""
    taken = {TRAIN_SEED, VAL_SEED}
    for name in profile_names():
        section = load_profile(name).occlusion
        taken |= {section.seed} if section else set()
    return taken


@pytest.mark.parametrize("name", shipped_names())
def test_nobody_whom_a_profile_measures_taught_the_weights_that_are_shipped(name):
    card = read_json(FOLDER / f"{name}.json")
    first, last = card["seeds of the people"]
    assert last > first
    assert not taken_seeds() & {*range(first, last + 1), card["seed of the people that measure"]}
    assert not first <= card["seed of the people that measure"] <= last


def test_shards_hold_all_pictures_with_a_seed_each():
    people = load_start_profile(start_file()).people.model_copy(update={"images": 2500, "shard_images": 1000})
    first = people.seed
    assert people.shards == {first: 1000, first + 1: 1000, first + 2: 500}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"seed": 2}, "people.seed"),
        ({"val_seed": 1000003}, "people.val_seed: 1000003 is the seed of a training shard"),
        ({"pictures": 3}, "people.pictures: unknown key"),
    ],
)
def test_bad_plans_name_file_and_key(tmp_path, values, what):
    path = changed(tmp_path, **values)
    with pytest.raises(ValueError, match=what) as caught:
        load_start_profile(path)
    assert str(path) in str(caught.value)


def test_input_sizes_are_whole_cells(tmp_path):
    path = tmp_path / "plan.yml"
    values = yaml.safe_load(start_file().read_text()) | {"input_sizes": [[128, 100]]}
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ValueError, match="input_sizes: .*multiples of 16"):
        load_start_profile(path)


def test_backbones_are_those_of_the_demo_with_the_stages_that_all_users_need():
    demo = load_profile("demo")
    found = {backbone.name: backbone.stages for backbone in start_backbones(demo)}
    assert found == {"mobilenetv4_conv_small": 4, "regnetx_002": 4}
    deeper = demo.heatmap.model_copy(update={"stages": None})
    found = start_backbones(demo.model_copy(update={"heatmap": deeper}))
    assert [(b.name, b.stages) for b in found] == [("mobilenetv4_conv_small", None), ("regnetx_002", 4)]


def test_the_plan_is_a_file_of_the_study():
    assert start_file() == project_root() / "workflow" / "pretrain.yml"
