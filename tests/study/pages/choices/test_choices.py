"""The choices of PCT on small pictures: each changes one thing, both look-ups are read, words and tables."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.study_people import make_people

from pctlib.io import read_json, read_tensors
from pctlib.metrics.pck import mean_error
from pctlib.profiles.pages import ChoicesProfile, ClassifierChoice, TokenizerChoice
from pctlib.profiles.profile import load_profile
from pctlib.reporting.tables import ONE_SEED
from pctlib.study.pages.choices import report as choices_report
from pctlib.study.pages.choices.changes import (
    AS_MANY_BITS,
    BASE,
    ONE,
    SCALARS,
    TOKENIZERS,
    TWO_LEVELS,
    changes_of,
)
from pctlib.study.pages.choices.study import (
    BOTH,
    CLASSIFIERS,
    ClassifierChoices,
    TokenizerChoices,
    hidden_joints,
)
from pctlib.study.pages.choices.trainings import CODES, trainings
from pctlib.study.people import Splits
from pctlib.study.poses import load_poses
from pctlib.study.stages.heatmap import train_heatmap
from pctlib.study.stages.tokenizer import build_tokenizer, load_tokenizer, reconstruct, train_tokenizer
from pctlib.study.variants import FAILED, run_folder, train_variants
from pctlib.workflow.pages import Training

SECTION = {
    "train_people": 16,
    "tokenizers": [BASE, "no joint hidden"],
    "tokenizer_epochs": 2,
    "classifier_epochs": 2,
    "views": 1,
}


@pytest.fixture(scope="module")
def profile():
    return load_profile("smoke", choices=SECTION)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    return Splits(make_people(folder / "t", 24, seed=1), make_people(folder / "v", 7, seed=2), "drawn")


@pytest.fixture(scope="module")
def study_dir(profile, splits, tmp_path_factory):
    """Return the folder of a trained tokenizer and heatmap backbone of seed 0."""
    folder = tmp_path_factory.mktemp("study")
    train_heatmap(profile, splits, seed=0, out_dir=folder / "heatmap-seed0", progress=False)
    poses = [load_poses(p, profile, training=t) for p, t in ((splits.train, True), (splits.val, False))]
    options = {"seed": 0, "out_dir": folder / "tokenizer-seed0", "progress": False}
    train_tokenizer(profile, poses[0], val_poses=poses[1], **options)
    return folder


def frame(rows, metrics=("error px", "error px, some hidden")):
    """Return a frame of trainings: rows are (variant, seed, values)."""
    return pd.DataFrame(
        {"variant": name, "seed": seed, **dict(zip(metrics, values, strict=True))}
        for name, seed, values in rows
    )


def test_profiles_know_every_variant():
    assert set(TokenizerChoice.__args__) == set(TOKENIZERS)
    assert set(ClassifierChoice.__args__) == {*CLASSIFIERS, *CODES}
    with pytest.raises(ValueError, match="tokenizers: expected distinct names"):
        ChoicesProfile(**SECTION | {"tokenizers": [BASE, BASE]})
    with pytest.raises(ValueError, match="classifiers: expected distinct names"):
        ChoicesProfile(**SECTION, classifiers=[BOTH, BOTH])


@pytest.mark.parametrize("variant", TOKENIZERS)
def test_each_tokenizer_changes_its_setting_and_no_other(profile, splits, variant):
    base, changed = (TokenizerChoices(profile, splits, "").profile_of(name) for name in (BASE, variant))
    assert base.tokenizer.training.epochs == 2
    assert base.tokenizer.training.learning_rate == profile.tokenizer.training.learning_rate
    before, after = base.tokenizer.model_dump(), changed.tokenizer.model_dump()
    changes = changes_of(variant, base.tokenizer, num_keypoints=17)
    assert {key: after[key] for key in after if after[key] != before[key]} == {
        key: value for key, value in changes.items() if value != before[key]
    }


def test_three_tokens_write_as_many_poses_as_one():
    sizes = load_profile("demo").tokenizer
    one, more, three = (
        changes_of(name, sizes, num_keypoints=17)
        for name in ("one token", "one token, eightfold V", "three tokens, as many bits")
    )
    assert one == {"num_tokens": 1}
    assert more == {"num_tokens": 1, "codebook_size": 8 * sizes.codebook_size}
    assert three["codebook_size"] ** three["num_tokens"] == sizes.codebook_size == 512


@pytest.mark.parametrize("name", ["smoke", "demo", "paper"])
@pytest.mark.parametrize("num_keypoints", [14, 17])
def test_the_plain_encoder_has_the_weights_of_the_mixer(name, num_keypoints):
    """Up to half the weights of one more hidden unit."""
    sizes = load_profile(name).tokenizer

    def weights(changes):
        changed = load_profile(name, **{f"tokenizer__{key}": value for key, value in changes.items()})
        channels = 8 if sizes.guide_ratio else 0
        model = build_tokenizer(changed, num_keypoints=num_keypoints, guide_channels=channels)
        return sum(p.numel() for p in model.encoder.parameters())

    changes = changes_of("MLP encoder", sizes, num_keypoints=num_keypoints)
    width = changes["encoder_channel_mlp_dim"]
    unit = weights(changes | {"encoder_channel_mlp_dim": width + 1}) - weights(changes)
    assert abs(weights(changes) - weights({})) <= 0.51 * unit


@pytest.mark.parametrize(
    "variant",
    ["codebook by gradient", "one token", "MLP encoder", SCALARS, TWO_LEVELS, "image guidance"],
)
def test_tokenizers_train_and_are_measured(profile, splits, study_dir, tmp_path, variant):
    study = TokenizerChoices(profile, splits, study_dir, progress=False)
    metrics = study(variant, 0, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert metrics["bits"] == tokenizer.num_tokens * math.log2(16)
    # Finite scalars have no entries: their two projections are weights of the network.
    learnt = {name: p for name, p in tokenizer.named_parameters() if name != "codebook.codebook"}
    assert metrics["weights"] == sum(p.numel() for p in learnt.values())
    assert tokenizer.guided == (variant == "image guidance")
    assert tokenizer.num_tokens == (1 if variant == "one token" else 4)
    assert 0 < metrics["codebook usage"] <= 1
    assert metrics["error px of the hidden"] > 0
    assert study(variant, 0, tmp_path) == metrics  # read back, not trained again


def test_a_codebook_learnt_by_gradient_moves(profile, splits, tmp_path):
    study = TokenizerChoices(profile, splits, "", progress=False)
    study("codebook by gradient", 0, tmp_path / "two")
    one = load_profile("smoke", choices=SECTION | {"tokenizer_epochs": 1})
    TokenizerChoices(one, splits, "", progress=False)("codebook by gradient", 0, tmp_path / "one")
    name = "codebook.codebook"
    books = [read_tensors(tmp_path / run / "model.safetensors")[name] for run in ("one", "two")]
    assert not torch.equal(*books)
    line = (tmp_path / "two" / "history.jsonl").read_text().splitlines()[-1]
    assert "train_codebook" in line


def test_the_measurement_with_hidden_joints_is_of_the_same_joints_for_all(profile, splits, tmp_path):
    study = TokenizerChoices(profile, splits, "", progress=False)
    metrics = study(BASE, 0, tmp_path)
    poses = load_poses(splits.val, profile, training=False)
    hidden = hidden_joints(poses, 0.3)
    assert torch.equal(hidden, hidden_joints(poses, 0.3))
    assert 0.15 < hidden.float().mean() < 0.45
    model = load_tokenizer(tmp_path)
    image = poses.to_image(reconstruct(model, poses, hidden=hidden)[0])
    people = splits.val
    assert metrics["error px, some hidden"] == pytest.approx(
        mean_error(image, people.keypoints_image, people.labelled)
    )
    part = people.labelled & hidden.numpy()
    assert metrics["error px of the hidden"] == pytest.approx(mean_error(image, people.keypoints_image, part))
    nothing = torch.zeros_like(hidden)
    assert torch.equal(reconstruct(model, poses, hidden=nothing)[0], reconstruct(model, poses)[0])
    more = load_profile("smoke", choices=SECTION | {"evaluation_hidden": 0.9})
    other = TokenizerChoices(more, splits, "", progress=False).measure(model, poses)
    assert other["error px"] == metrics["error px"]
    assert other["error px, some hidden"] != metrics["error px, some hidden"]


def test_classifiers_weigh_their_losses_and_are_read_in_both_ways(profile, splits, study_dir, tmp_path):
    study = ClassifierChoices(profile, splits, study_dir, progress=False)
    found = train_variants(study, list(CLASSIFIERS), seeds=[0], runs_dir=tmp_path, progress=False)
    assert FAILED not in found
    assert (found["soft NME seen"] != found["hard NME seen"]).all()
    assert found["soft NME seen"].nunique() == 3
    weights = [study.profile_of(name, 0).classifier for name in CLASSIFIERS]
    assert [(w.token_loss_weight, w.keypoint_loss_weight) for w in weights] == [(1, 1), (1, 0), (0, 1)]
    assert [w.training.epochs for w in weights] == [2, 2, 2]
    description = read_json(run_folder(tmp_path / "seed0", "token loss only") / "model.json")
    assert description["sizes"]["profile"]["classifier"]["keypoint_loss_weight"] == 0
    table = choices_report.classifier_table(
        choices_report.by_lookup(found), profile, train=splits.train, val=splits.val
    )
    assert list(table["classifier, look-up"][:3]) == ["mean pose", "both losses, soft", "both losses, hard"]
    assert float(table["error / box side, seen (%)"][2]) == pytest.approx(100 * found["hard NME seen"][0])
    bars = choices_report.pck_bars(table)
    assert len(bars) == 14
    assert set(bars["joints"]) == {"seen", "hidden"}


def test_classifiers_of_other_codes_learn_from_the_tokenizers_beside_them(splits, study_dir, tmp_path):
    names = list(CODES)
    section = SECTION | {"tokenizers": list(CODES.values()), "classifiers": names}
    settings = load_profile("smoke", choices=section)
    tokenizers = TokenizerChoices(settings, splits, study_dir, progress=False)
    places = {"runs_dir": tmp_path / "tokenizers", "seeds": [0], "progress": False}
    written = train_variants(tokenizers, list(CODES.values()), **places)
    classifiers = ClassifierChoices(settings, splits, study_dir, progress=False)
    found = train_variants(classifiers, names, **places | {"runs_dir": tmp_path / "classifiers"})
    assert FAILED not in found
    assert found["soft NME seen"].nunique() == 3
    run = run_folder(tmp_path / "classifiers" / "seed0", "finite scalars")
    assert read_json(run / "model.json")["sizes"]["profile"]["tokenizer"]["codebook_learning"] == "scalar"
    said = choices_report.choices_finding(written, choices_report.by_lookup(found), settings)
    assert "'finite scalars, soft' against 'codebook, short schedule, soft'" in said
    after = {training.name: training.after for training in trainings(settings)}
    assert after["codebook, short schedule"] == (Training(BASE, group="tokenizers"),)


def test_classifiers_of_codes_need_their_tokenizer():
    with pytest.raises(
        ValueError, match="'finite scalars' needs the tokenizer 'finite scalars' in tokenizers"
    ):
        load_profile("smoke", choices=SECTION | {"tokenizers": [BASE], "classifiers": ["finite scalars"]})


def test_classifiers_without_kept_features_see_every_image(splits, study_dir, tmp_path):
    settings = load_profile("smoke", choices=SECTION | {"views": 0, "classifier_epochs": 1})
    study = ClassifierChoices(settings, splits, study_dir, progress=False)
    metrics = study(BOTH, 0, tmp_path)
    assert study._frozen.of(0, settings).val_features is None
    assert metrics["soft NME all"] != metrics["hard NME all"]


def test_a_failing_variant_is_written_down_and_the_others_go_on(profile, splits, tmp_path):
    study = TokenizerChoices(profile, splits, tmp_path, progress=False)
    found = train_variants(
        study, [BASE, "image guidance"], seeds=[0], runs_dir=tmp_path / "runs", progress=False
    )
    table = choices_report.tokenizer_table(found, profile, num_keypoints=17)
    assert list(table["failed runs"]) == [0, 1]
    assert table["change"][1] == "guide_ratio 0 to 0.5"
    assert np.isnan(table["error (px)"][1])
    finding = choices_report.choices_finding(found, frame([(f"{BOTH}, soft", 0, (0.5, 0.4))]), profile)
    assert "Failed trainings: 'image guidance' with seed 0 (FileNotFoundError" in finding
    assert "against it nothing" in finding


def test_the_finding_says_what_differs_and_what_may_be_chance(profile):
    rows = [(BASE, seed, (2.0 + seed / 10, 5.0)) for seed in range(3)]
    rows += [("one token", seed, (4.0 + seed / 10, 6.0 + 9 * (seed == 1))) for seed in range(3)]
    values = {"soft": (0.9, 0.8), "hard": (0.7, 0.5)}
    classifiers = frame(
        [(f"{BOTH}, {kind}", seed, pair) for seed in range(3) for kind, pair in values.items()],
        ("PCK@0.1 seen", "PCK@0.1 hidden"),
    )
    found = choices_report.choices_finding(frame(rows), classifiers, profile)
    assert (
        "Reconstruction error in px: 2.10 for 'as in the profile'; against it 'one token' +2.00 ± 0.00."
        in found
    )
    assert "(may be chance)" in found
    assert "'both losses, hard' −20.00 ± 0.00" in found
    assert "3 seeds" in found
    alone = choices_report.choices_finding(
        frame(row for row in rows if row[1] == 0), classifiers[:2], profile
    )
    assert alone.count(ONE_SEED) == 1
    assert "±" not in alone
    headline = choices_report.choices_headline(frame(rows), classifiers, profile)
    assert headline.startswith(
        "Change of the reconstruction error, in px, against the profile's tokenizer: "
        "one token for the whole pose +2.00 ± 0.00. Seen joints"
    )
    assert "'both losses, hard' −20.00 ± 0.00." in headline
    without = choices_report.choices_finding(frame(rows[3:]), classifiers, profile)
    assert "not known, as 'as in the profile' was not measured" in without


def test_bars_have_the_ends_of_the_intervals(profile):
    bars = choices_report.error_bars(frame([(BASE, seed, (1.0 + seed, 2.0)) for seed in range(2)]))
    assert list(bars["joints"]) == ["all joints given", "some joints hidden"]
    assert bars["value"].tolist() == [1.5, 2.0]
    assert bars["high"][0] - 1.5 == pytest.approx(1.5 - bars["low"][0]) == pytest.approx(12.706 / 2, rel=1e-3)
    one = choices_report.error_bars(frame([(BASE, 0, (1.0, 2.0))]))
    assert one["low"].tolist() == one["high"].tolist() == [1.0, 2.0]


def test_unknown_variants_are_named(profile, splits, study_dir):
    with pytest.raises(ValueError, match="variant: expected one of .*, got 'two tokens'"):
        TokenizerChoices(profile, splits, "").profile_of("two tokens")
    with pytest.raises(ValueError, match="variant: expected one of .*, got 'no loss'"):
        ClassifierChoices(profile, splits, study_dir).profile_of("no loss", 0)


def test_composition_is_judged_at_equal_bits(profile):
    rows = [(BASE, seed, (2.0, 5.0)) for seed in range(3)]
    rows += [(name, s, (e + s / 10, 6.0)) for name, e in ((ONE, 4.0), (AS_MANY_BITS, 3.0)) for s in range(3)]
    classifiers = frame([(f"{BOTH}, soft", 0, (0.5, 0.4))], ("PCK@0.1 seen", "PCK@0.1 hidden"))
    words = (
        "'three tokens, as many bits' against 'one token': −1.00 px of reconstruction error "
        "(95 % interval −1.00 to −1.00 over 3 seeds: more than chance)."
    )
    for tell in (choices_report.choices_finding, choices_report.choices_headline):
        assert words in tell(frame(rows), classifiers, profile)
        assert "of reconstruction error (95" not in tell(frame(rows[:6]), classifiers, profile)
