"""Stage I: training, saving, several processes, and the codebook's start."""

import pytest
import torch
from helpers.study_people import make_people

from pctlib.profiles.profile import load_profile
from pctlib.study.poses import load_poses
from pctlib.study.stages.tokenizer import (
    build_tokenizer,
    compare_starts,
    evaluate_tokenizer,
    initialise_codebook,
    load_tokenizer,
    reconstruct,
    reconstruction_examples,
    summarise_reconstruction,
    train_tokenizer,
)
from pctlib.training.launch import launch
from pctlib.training.resume import CheckpointFolder

CHANGES = {
    "tokenizer__training": {"epochs": 4, "batch_size": 8, "learning_rate": 0.003, "warmup_steps": 2},
    "tokenizer__revive_after": 2,
}


@pytest.fixture
def splits(tmp_path):
    profile = load_profile("smoke", **CHANGES)
    train, val = make_people(tmp_path / "train", 32, seed=1), make_people(tmp_path / "val", 8, seed=2)
    return profile, load_poses(train, profile, training=True), load_poses(val, profile, training=False)


def run(splits, out_dir, *, profile=None, **options):
    default, train_poses, val_poses = splits
    return train_tokenizer(
        profile or default,
        train_poses,
        val_poses=val_poses,
        seed=0,
        out_dir=out_dir,
        progress=False,
        **options,
    )


def test_trains_saves_and_loads(splits, tmp_path):
    result = run(splits, tmp_path / "run")
    loss = [record["train_keypoints"] for record in result.history]
    assert loss[-1] < loss[0]
    assert {"val_error px", "val_AP", "val_codebook usage", "val_codebook perplexity"} <= set(
        result.history[-1]
    )
    loaded = load_tokenizer(tmp_path / "run")
    assert not loaded.training
    torch.testing.assert_close(reconstruct(loaded, splits[2])[0], reconstruct(result.model, splits[2])[0])
    assert torch.equal(reconstruct(loaded, splits[2])[1], reconstruct(result.model, splits[2])[1])


def test_learns_in_three_dimensions(splits, tmp_path):
    profile, train_poses, val_poses = splits
    solid = [
        load_poses(poses.people, profile, training=True, num_dims=3) for poses in (train_poses, val_poses)
    ]
    result = train_tokenizer(
        profile, solid[0], val_poses=solid[1], seed=0, out_dir=tmp_path / "run", progress=False
    )
    assert result.history[-1]["val_MPJPE mm"] < result.history[0]["val_MPJPE mm"]
    assert load_tokenizer(tmp_path / "run").num_dims == 3


@pytest.mark.slow
def test_two_processes_end_with_the_weights_of_one(splits, tmp_path):
    """The same global batches, hidden joints and codebook statistics, whatever the number of processes."""
    profile, train_poses, val_poses = splits
    arguments = {"val_poses": val_poses, "seed": 0, "progress": False}
    for name, processes in (("one", 1), ("two", 2)):
        launch(
            train_tokenizer,
            profile,
            train_poses,
            out_dir=tmp_path / name,
            num_processes=processes,
            **arguments,
        )
    one, two = (CheckpointFolder(tmp_path / name / "checkpoints").newest() for name in ("one", "two"))
    assert one.step == two.step == 16
    one, two = one.part("model"), two.part("model")
    assert one.keys() == two.keys()
    for name in one:
        # These biases add one constant to all channels before a LayerNorm: they act on nothing, their
        # gradient is rounding noise, and Adam makes full steps of it.
        if not name.endswith("token_mlp.fc2.bias"):
            torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5, msg=name)
    restored = [reconstruct(load_tokenizer(tmp_path / name), val_poses) for name in ("one", "two")]
    torch.testing.assert_close(restored[0][0], restored[1][0], rtol=0, atol=1e-3)
    assert torch.equal(restored[0][1], restored[1][1])


def test_codebook_starts_at_data_and_fewer_tokens_than_entries_are_enough(splits):
    profile, train_poses, _ = splits
    for entries in (16, 300):
        changed = load_profile("smoke", tokenizer__codebook_size=entries)
        torch.manual_seed(0)
        model = build_tokenizer(changed, num_keypoints=17)
        initialise_codebook(model, train_poses, seed=0)
        tokens = model.encode(train_poses.crops()[0], train_poses.visible)
        codes = model.quantize(tokens).codes
        spread = (tokens - tokens.mean((0, 1))).square().mean()
        assert (codes - tokens).square().mean() < 0.5 * spread
    assert profile.tokenizer.data_initialisation


def test_options_change_the_run(splits, tmp_path):
    base = run(splits, tmp_path / "base").history[-1]["train_loss"]
    for number, change in enumerate(
        [
            {"tokenizer__data_initialisation": False},
            {"tokenizer__drop_rate": 0.8},
            {"tokenizer__commitment_weight": 1.0},
            {"tokenizer__beta": 5.0},
            {"tokenizer__normalise": False},
            {"tokenizer__augmentation": {"flip": 0.0, "color": 0}},
        ]
    ):
        profile = load_profile("smoke", **CHANGES, **change)
        assert run(splits, tmp_path / str(number), profile=profile).history[-1]["train_loss"] != base, change


def test_start_comparison_differs_only_in_the_codebook(splits, tmp_path):
    profile, train_poses, val_poses = splits
    histories = compare_starts(
        profile, train_poses, val_poses=val_poses, seed=0, out_dir=tmp_path, epochs=2, progress=False
    )
    assert list(histories) == ["published start", "data start"]
    assert [len(frame) for frame in histories.values()] == [2, 2]
    assert (
        histories["published start"]["val_error px"].iloc[-1]
        != histories["data start"]["val_error px"].iloc[-1]
    )


def test_what_the_report_shows(splits, tmp_path):
    result = run(splits, tmp_path / "run")
    metrics = evaluate_tokenizer(result.model, splits[2])
    table = summarise_reconstruction(result.model, metrics).set_index("quantity")["value"]
    assert table["bits per pose, M log2 V"] == "16"
    assert float(table["reconstruction error"]) == pytest.approx(metrics["error px"], rel=1e-3)
    examples = reconstruction_examples(result.model, splits[2], each=2)
    assert len(examples["truth"]) == len(examples["titles"]) == 6
    assert "least error" in examples["titles"][0]
    assert "largest error" in examples["titles"][-1]


def test_missing_and_damaged_runs_are_named(tmp_path, splits):
    with pytest.raises(FileNotFoundError, match=r"model\.json"):
        load_tokenizer(tmp_path)
    run(splits, tmp_path / "run")
    weights = tmp_path / "run" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"model\.safetensors: not a whole safetensors file"):
        load_tokenizer(tmp_path / "run")
