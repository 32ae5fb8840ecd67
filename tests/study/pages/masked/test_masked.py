"""Masked pretraining and what starts from it, on small pictures."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.study_people import make_people

from pctlib.models.mae import draw_visible, patchify
from pctlib.profiles.pages import MaskedProfile
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO
from pctlib.study.pages.masked.report import (
    masked_at,
    masked_finding,
    masked_table,
    restored_crops,
)
from pctlib.study.pages.masked.study import (
    PRETRAINING,
    MaskedStudy,
    build_autoencoder,
    equal_compute_epochs,
    lengthened,
    new_backbone,
)
from pctlib.study.pages.masked.trainings import LONGER, PRETRAINED, SCRATCH, VARIANTS
from pctlib.study.people import Splits
from pctlib.study.variants import read_histories, run_folder
from pctlib.training.plan import plan_epoch
from pctlib.training.settings import TrainingSettings

CPU = torch.device("cpu")
TRAINING = {"epochs": 2, "batch_size": 8, "learning_rate": 2e-3, "warmup_steps": 1}
SECTION = MaskedProfile(
    train_people=16,
    input_height=64,
    input_width=48,
    vitpose={"dim": 16, "depth": 2, "heads": 2, "decoder_width": 8, "drop_path": 0.2, "training": TRAINING},
    pretraining={
        "decoder_dim": 16,
        "decoder_depth": 1,
        "decoder_heads": 2,
        "mask_ratio": 0.5,
        "training": TRAINING | {"epochs": 3},
    },
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    profile = load_profile("smoke").model_copy(update={"masked": SECTION, "flexibility": None})
    splits = Splits(make_people(folder / "t", 24, seed=1), make_people(folder / "v", 7, seed=2), "drawn")
    return MaskedStudy(profile, splits, progress=False)


@pytest.fixture(scope="module")
def runs(study, tmp_path_factory):
    """Return the folder of one seed with all variants trained, and their metrics."""
    folder = tmp_path_factory.mktemp("runs") / "seed3"
    metrics = {variant: study(variant, 3, run_folder(folder, variant)) for variant in VARIANTS}
    return folder, metrics


def test_crops_are_of_the_section(study):
    assert len(study.train_crops) == 16
    assert len(study.val_crops) == 7
    assert next(study.val_crops.in_order(CPU)).images.shape == (7, 3, 64, 48)


def test_all_start_from_the_same_drawn_weights():
    first, second = new_backbone(SECTION, seed=4), build_autoencoder(SECTION, seed=4).encoder
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    assert first.blocks[1].drop_path1.drop_prob == 0.2
    assert isinstance(second.blocks[1].drop_path1, torch.nn.Identity)  # as published
    assert not torch.equal(first.pos_embed, new_backbone(SECTION, seed=5).pos_embed)


def test_what_is_hidden_depends_on_the_step_alone(study):
    task = study.task(build_autoencoder(SECTION))
    steps = plan_epoch(16, SECTION.pretraining.training, seed=0, epoch=0)
    first, again = (list(task.batches(steps, CPU)) for _ in range(2))
    for batch, same in zip(first, again, strict=True):
        assert torch.equal(batch.visible, same.visible)
        assert torch.equal(batch.images, same.images)
        assert batch.visible.shape == (8, 6)  # half of 4 x 3 cells
    assert not torch.equal(first[0].visible, first[1].visible)
    other = next(iter(task.batches(plan_epoch(16, SECTION.pretraining.training, seed=1, epoch=0), CPU)))
    assert not torch.equal(first[0].visible, other.visible)
    (validation,), (once_more,) = (list(task.validation(task.model)) for _ in range(2))
    assert torch.equal(validation.visible, once_more.visible)


def test_processes_share_what_is_hidden_of_a_batch(study):
    task = study.task(build_autoencoder(SECTION))
    settings = SECTION.pretraining.training
    (whole,) = task.batches(plan_epoch(16, settings, seed=0, epoch=0)[:1], CPU)
    halves = [plan_epoch(16, settings, seed=0, epoch=0, rank=rank, world_size=2)[:1] for rank in (0, 1)]
    parts = [next(iter(task.batches(steps, CPU))).visible for steps in halves]
    assert torch.equal(torch.cat(parts), whole.visible)


def test_evaluation_is_the_mean_error_over_people(study):
    task = study.task(build_autoencoder(SECTION).eval())
    with torch.inference_mode():
        (batch,) = task.validation(task.model)
        prediction = task.model(*batch)
        errors = [
            (prediction[i, c] - task.model.target(batch.images)[i, c]).square().mean()
            for i in range(7)
            for c in range(12)
            if c not in batch.visible[i]
        ]
        assert task.evaluate(task.model)["masked error"] == pytest.approx(np.mean(errors), rel=1e-5)


def test_equal_compute_counts_the_networks():
    """Twice the pretraining is twice the extra epochs; hiding more is cheaper."""
    pose = SECTION.vitpose.training.epochs

    def extra(**changes):
        return equal_compute_epochs(_pretraining(**changes), COCO) - pose

    def epochs(number):
        return TrainingSettings(**(TRAINING | {"epochs": number}))

    assert extra(training=epochs(2000)) == pytest.approx(2 * extra(training=epochs(1000)), abs=1)
    assert extra(training=epochs(1000), mask_ratio=0.9) < extra(training=epochs(1000), mask_ratio=0.5)
    assert extra(training=epochs(1000), mask_ratio=0.9) > 0


def _pretraining(**changes):
    return SECTION.model_copy(update={"pretraining": SECTION.pretraining.model_copy(update=changes)})


def test_a_longer_schedule_falls_at_the_same_shares():
    settings = TrainingSettings(**(TRAINING | {"epochs": 210, "decay_epochs": (170, 200)}))
    assert lengthened(settings, 420).decay_epochs == (340, 400)
    assert lengthened(settings, 420).epochs == 420
    assert lengthened(TrainingSettings(**TRAINING), 5).decay_epochs == ()


def test_variants_are_trained_as_named(study, runs):
    folder, metrics = runs
    longer = equal_compute_epochs(SECTION, COCO)
    assert longer > 2
    assert {name: value["epochs"] for name, value in metrics.items()} == {
        SCRATCH: 2,
        PRETRAINED: 2,
        LONGER: longer,
    }
    histories = read_histories(folder, VARIANTS)
    assert [len(histories[name]) for name in VARIANTS] == [2, 2, longer]
    lines = (folder / PRETRAINING / "history.jsonl").read_text().splitlines()
    errors = [json.loads(line)["val_masked error"] for line in lines]
    assert len(errors) == 3
    assert errors[-1] < errors[0]
    assert read_histories(folder, [PRETRAINING])[PRETRAINING]["val_masked error"].tolist() == errors
    losses = [histories[name]["train_loss"][0] for name in VARIANTS]
    assert losses[0] != losses[1]  # other weights
    assert losses[0] == pytest.approx(losses[2], rel=0.05)  # the same weights and people, another warm-up


def test_finished_pretraining_is_read_back_and_other_weights_are_another_run(study, runs, tmp_path):
    folder, _ = runs
    before = (folder / PRETRAINING / "history.jsonl").stat().st_mtime_ns
    model = study.pretrain(3, folder / PRETRAINING)
    assert (folder / PRETRAINING / "history.jsonl").stat().st_mtime_ns == before
    assert not model.training
    other = study.pretrain(4, tmp_path)
    assert not torch.equal(model.encoder.pos_embed, other.encoder.pos_embed)


def test_filled_in_crops_keep_what_was_visible(study, runs):
    folder, _ = runs
    model = study.pretrain(3, folder / PRETRAINING)
    shown = restored_crops(study, model, each=1)
    assert {len(value) for value in shown.values()} == {3}
    errors = [float(title.splitlines()[1]) for title in shown["titles"]]
    assert errors == sorted(errors)
    assert [title.splitlines()[0] for title in shown["titles"]] == [
        "least error",
        "median error",
        "largest error",
    ]
    original, masked, restored = (
        patchify(torch.from_numpy(np.stack(shown[name])).permute(0, 3, 1, 2).float())
        for name in ("original", "masked", "restored")
    )
    kept = (masked == original).all(-1)
    assert kept.sum(1).tolist() == [6, 6, 6]
    assert torch.equal(restored[kept], original[kept])
    assert not (restored[~kept] == original[~kept]).all(-1).any()


def test_table_and_finding():
    rows = [
        {"variant": v, "seed": s, "PCK@0.1 all": value + 0.01 * s, "epochs": epochs}
        for v, value, epochs in zip(VARIANTS, (0.5, 0.55, 0.52), (2, 2, 4), strict=True)
        for s in range(2)
    ]
    frame = pd.DataFrame(rows)
    table = masked_table(frame, SECTION)
    assert table["epochs masked"].tolist() == [0, 3, 0]
    assert table["epochs of poses"].tolist() == [2, 2, 4]
    assert table["PCK@0.1 (%)"].map(float).tolist() == pytest.approx([50.5, 55.5, 52.5])
    found = masked_finding(frame)
    assert "'pretrained' against 'from scratch': +5.00 points of PCK@0.1" in found
    assert "'pretrained' against 'from scratch, longer': +3.00 points" in found


def test_bad_sections_are_named():
    with pytest.raises(ValueError, match="decoder_heads: expected a divisor of decoder_dim 16, got 3"):
        MaskedProfile.model_validate(_changed(decoder_heads=3))
    with pytest.raises(ValueError, match="mask_ratio"):
        MaskedProfile.model_validate(_changed(mask_ratio=1.0))
    with pytest.raises(ValueError, match="leaves 0 visible"):
        draw_visible(1, 12, mask_ratio=0.99, generator=torch.Generator())


def _changed(**changes):
    values = SECTION.model_dump()
    return values | {"pretraining": values["pretraining"] | changes}


def test_more_of_a_crop_is_hidden_and_nothing_comes_back(study):
    """A share hides what each smaller one hides; the error is that of the hidden patches alone."""
    model = build_autoencoder(SECTION).eval()
    images = next(study.val_crops.in_order(CPU)).images[:1]
    shown = masked_at(model, images, (0.25, 0.5, 0.75))
    assert {len(value) for value in shown.values()} == {3}
    assert [title.split("\n")[0] for title in shown["titles"]] == [
        "25 % hidden",
        "50 % hidden",
        "75 % hidden",
    ]
    changed = [(a != b).any(-1) for a, b in zip(shown["original"], shown["masked"], strict=True)]
    assert (changed[0] <= changed[1]).all()
    assert (changed[1] <= changed[2]).all()
    assert changed[0].sum() < changed[1].sum() < changed[2].sum()
    draw = torch.Generator().manual_seed(0)
    visible = draw_visible(1, 12, mask_ratio=0.5, generator=draw)
    with torch.inference_mode():
        error = model.errors(model(images, visible), images, visible).item()
    assert shown["titles"][1] == f"50 % hidden\n{error:.2f}"
    with pytest.raises(ValueError, match=r"mask_ratio: 0.95 of 12 cells leaves 0 visible"):
        masked_at(model, images, (0.95,))
