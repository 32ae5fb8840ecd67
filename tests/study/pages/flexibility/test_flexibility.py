"""What is changed of a ViTPose, one thing at a time, on small pictures."""

import pandas as pd
import pytest
import torch
from helpers.study_people import make_people

from pctlib.models.representations.heatmap import DeconvolutionHead
from pctlib.models.vit import ViT, resize_positions
from pctlib.models.vit_windows import Windows, WindowViT
from pctlib.models.vitpose import SimpleDecoder
from pctlib.profiles.pages import FlexibilityProfile, MaskedProfile
from pctlib.profiles.profile import Profile, load_profile
from pctlib.study.pages.flexibility.report import (
    decoder_table,
    flexibility_finding,
    flexibility_table,
)
from pctlib.study.pages.flexibility.study import BASE, FlexibilityStudy, choices_of
from pctlib.study.people import Splits
from pctlib.study.runs import load_estimator
from pctlib.study.variants import bars_of

TRAINING = {"epochs": 1, "batch_size": 8, "learning_rate": 2e-3, "warmup_steps": 1}
MASKED = MaskedProfile(
    train_people=16,
    input_height=64,
    input_width=96,
    vitpose={"dim": 16, "depth": 2, "heads": 2, "decoder_width": 8, "training": TRAINING},
    pretraining={"decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2, "training": TRAINING},
)
SECTION = FlexibilityProfile(
    train_people=8, input_sizes=[[32, 48], [96, 96]], window=[2, 3], training=TRAINING
)
NAMES = [
    BASE,
    "32 x 48 px",
    "96 x 96 px",
    "windows",
    "windows + shift",
    "windows + pool",
    "windows + shift + pool",
    "simple decoder",
    "attention frozen",
    "FFN frozen",
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    sections = {"masked": MASKED, "flexibility": SECTION}
    profile = load_profile("smoke").model_copy(update=sections)
    splits = Splits(make_people(folder / "t", 20, seed=1), make_people(folder / "v", 7, seed=2), "drawn")
    return FlexibilityStudy(profile, splits, folder / "masked", progress=False)


def test_each_choice_differs_from_the_base_in_one_thing():
    choices = choices_of(MASKED, SECTION)
    assert list(choices) == NAMES
    base = choices[BASE]
    for choice in choices.values():
        fields = ("input_size", "decoder", "windows", "frozen")
        differing = [name for name in fields if getattr(choice, name) != getattr(base, name)]
        assert len(differing) == (0 if choice is base else 1)
    assert choices["windows + shift + pool"].windows == Windows((2, 3), shift=True, pool=True)
    assert choices["windows"].windows == Windows((2, 3))
    assert choices["windows + pool"].windows == Windows((2, 3), pool=True)
    assert choices["96 x 96 px"].input_size == (96, 96)
    fewer = SECTION.model_copy(update={"windowed": ("shift",), "input_sizes": ()})
    assert [name for name in choices_of(MASKED, fewer) if "windows" in name] == ["windows + shift"]
    simple = MASKED.model_copy(update={"vitpose": MASKED.vitpose.model_copy(update={"decoder": "simple"})})
    assert choices_of(simple, SECTION)["classic decoder"].decoder == "classic"


def test_models_are_built_as_chosen_from_the_same_weights(study):
    torch.manual_seed(9)
    pretrained = ViT(study.build(BASE, seed=0).backbone.size, (64, 96))
    models = {name: study.build(name, seed=5, pretrained=pretrained) for name in NAMES}
    for name, model in models.items():
        for key, value in pretrained.blocks.state_dict().items():
            assert torch.equal(model.backbone.blocks.state_dict()[key], value)
        assert isinstance(model.backbone, WindowViT) is name.startswith("windows")
        assert isinstance(model.representation.head, SimpleDecoder) is (name == "simple decoder")
    small = models["32 x 48 px"].backbone
    assert torch.equal(small.pos_embed, resize_positions(pretrained.pos_embed, (4, 6), (2, 3)))
    assert models["96 x 96 px"].representation.coding.heatmap_size == (24, 24)
    heads = [m.representation.head for m in models.values()]
    classic = [head.state_dict() for head in heads if isinstance(head, DeconvolutionHead)]
    for state in classic[1:]:
        assert all(torch.equal(state[key], value) for key, value in classic[0].items())
    assert [block.attn.offset for block in models["windows + shift"].backbone.blocks] == [(0, 0), (1, 1)]
    assert models["windows + pool"].backbone.blocks[0].attn.pool


def trained_names(model):
    return {name for name, p in model.backbone.named_parameters() if p.requires_grad}


def test_frozen_parts_are_those_of_the_release(study):
    whole = trained_names(study.build(BASE, seed=0))
    attention = whole - trained_names(study.build("attention frozen", seed=0))
    ffn = whole - trained_names(study.build("FFN frozen", seed=0))
    assert attention == {name for name in whole if ".attn." in name or ".norm1." in name}
    embedding = {"pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert ffn == {name for name in whole if ".mlp." in name or ".norm2." in name} | embedding
    assert {"last_norm.weight", "last_norm.bias"} <= whole - attention - ffn
    for name in NAMES:
        head = study.build(name, seed=0).representation.parameters()
        assert all(p.requires_grad for p in head)


def test_training_leaves_frozen_parts_at_their_pretraining(study, tmp_path):
    runs = {name: study(name, 2, tmp_path / name) for name in (BASE, "attention frozen", "32 x 48 px")}
    pretrained = study.masked.pretrain(2, study.pretrained_dir / "seed2" / "pretraining").encoder
    frozen = load_estimator(tmp_path / "attention frozen").model.backbone
    base = load_estimator(tmp_path / BASE).model.backbone
    for block, start, moved in zip(frozen.blocks, pretrained.blocks, base.blocks, strict=True):
        assert torch.equal(block.attn.qkv.weight, start.attn.qkv.weight)
        assert not torch.equal(block.mlp.fc1.weight, start.mlp.fc1.weight)
        assert not torch.equal(moved.attn.qkv.weight, start.attn.qkv.weight)
    assert runs["attention frozen"]["trained (M)"] < runs[BASE]["trained (M)"]
    assert runs["32 x 48 px"]["multiply-adds (M)"] < 0.5 * runs[BASE]["multiply-adds (M)"]
    assert (study.pretrained_dir / "seed2" / "pretraining" / "history.jsonl").is_file()
    assert len(study.crops((64, 96))[0]) == 8
    assert len(study.masked.train_crops) == 16


def frame_of(study, seeds=2):
    """Return runs whose PCK falls by a point a variant, with no chance in it."""
    rows = []
    for number, name in enumerate(study.choices):
        for seed in range(seeds):
            value = 0.8 - 0.01 * number + 0.05 * seed
            row = {"variant": name, "seed": seed, "multiply-adds (M)": 10.0 + number, "trained (M)": 0.5}
            shares = {f"PCK@0.1 {joints}": value for joints in ("all", "seen", "hidden")}
            rows.append(row | shares | {"NME all": 0.1})
    rows[2]["PCK@0.1 all"] += 0.2  # the second variant differs by chance
    return pd.DataFrame(rows)


def test_table_and_finding_with_several_seeds(study):
    frame = frame_of(study)
    table = flexibility_table(frame, study.choices)
    assert table["variant"].tolist() == NAMES
    assert table["what differs"].tolist()[:4] == ["–", "resolution", "resolution", "attention"]
    assert table["input (px)"].tolist()[:3] == ["64 x 96", "32 x 48", "96 x 96"]
    assert table["multiply-adds (M)"].tolist()[:2] == [10.0, 11.0]
    assert float(table["against base (points)"][3]) == pytest.approx(-3.0)
    found = flexibility_finding(frame, table)
    assert "beyond chance: FFN frozen −9.0 ± 0.0, attention frozen −8.0" in found
    assert "No difference shown: 32 x 48 px. Means" in found
    assert found.endswith("nothing is corrected for how many are looked at.")
    bars = bars_of(frame, {"PCK@0.1 seen": "seen", "PCK@0.1 hidden": "hidden"})
    assert len(bars) == 2 * len(NAMES)
    assert bars.loc[0, "high"] - bars.loc[0, "value"] == pytest.approx(12.706 * 2.5, rel=1e-3)
    assert bars.loc[0, "value"] == pytest.approx(82.5)


def test_table_and_finding_with_one_seed_and_a_failed_training(study):
    frame = frame_of(study, seeds=1)
    frame["failed"] = [None] * 9 + ["ValueError: no"]
    frame.loc[9, ["PCK@0.1 all", "PCK@0.1 seen", "PCK@0.1 hidden"]] = float("nan")
    table = flexibility_table(frame, study.choices)
    found = flexibility_finding(frame, table)
    assert "FFN frozen −" not in found
    assert "simple decoder −7.0" in found
    assert "One seed: no intervals, so no finding." in found
    assert "Failed trainings: 'FFN frozen' with seed 0 (ValueError: no)." in found


def test_decoders_stand_beside_those_of_the_release(study):
    table = decoder_table(flexibility_table(frame_of(study), study.choices), study.choices)
    assert list(table["", "decoder"]) == ["classic", "simple"]
    assert list(table["published", "ViTPose-B, AP on COCO"]) == [75.8, 75.5]
    assert [float(v) for v in table["measured", "PCK@0.1 (%)"]] == pytest.approx([82.5, 75.5])


def test_bad_sections_are_named():
    with pytest.raises(ValueError, match=r"input_sizes: expected multiples of 16 from 32 on, got \[32, 40\]"):
        FlexibilityProfile(input_sizes=[[32, 40]], window=[2, 2], training=TRAINING)
    values = load_profile("smoke").model_dump() | {"masked": MASKED, "flexibility": SECTION}
    assert Profile.model_validate(values).flexibility == SECTION
    wide = SECTION.model_copy(update={"window": (3, 3)})
    with pytest.raises(ValueError, match=r"flexibility\.window: expected a divisor of the grid \(4, 6\)"):
        Profile.model_validate(values | {"flexibility": wide})
    with pytest.raises(ValueError, match="'masked', which is missing"):
        Profile.model_validate(values | {"masked": None})
