"""The training loop: schedule, resume, several passes a step, failures."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.toy_task import SETTINGS, ToyTask

from pctlib.training.loop import train
from pctlib.training.resume import CheckpointFolder, read_checkpoint

SCRIPT = Path(__file__).parents[1] / "helpers" / "toy_task.py"


def run(out_dir, *, task=None, seed=3, **changes):
    settings = SETTINGS.model_copy(update=changes)
    return train(task or ToyTask(), settings, out_dir=out_dir, seed=seed, device="cpu", progress=False)


def weights(out_dir):
    return CheckpointFolder(Path(out_dir) / "checkpoints").newest().tensors


def assert_same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_loss_falls_and_history_has_a_line_an_epoch(tmp_path):
    result = run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert lines == result.history
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines] == [5, 10, 15, 20, 25, 30]
    assert lines[-1]["val_error"] < 0.7 * lines[0]["val_error"]
    assert lines[0]["train_loss"] == pytest.approx(lines[0]["train_fit"])
    assert not result.model.training


def test_the_rate_falls_in_stairs_after_the_epochs_asked_for(tmp_path):
    history = run(tmp_path, warmup_steps=0, decay_epochs=(2, 5)).history
    rates = [record["learning_rate"] for record in history]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-3, 1e-4])


def test_the_rate_stays_flat_for_the_share_asked_for(tmp_path):
    history = run(tmp_path / "flat", warmup_steps=0, flat_share=0.5, final_learning_rate=5e-4).history
    rates = [record["learning_rate"] for record in history]  # of the last step of each epoch, 6 of 5 steps
    assert rates[:3] == pytest.approx([1e-2] * 3)
    assert rates[2] > rates[3] > rates[4] > rates[5] == pytest.approx(5e-4)


def test_an_average_that_warms_up_is_another_model(tmp_path):
    first, second = (run(tmp_path / str(n), average_warmup_steps=n).model for n in (0, 50))
    assert not torch.equal(first[0].weight, second[0].weight)
    assert first[1].num_batches_tracked == second[1].num_batches_tracked == 30


def test_same_seed_same_weights_other_seed_other_weights(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b")
    run(tmp_path / "c", seed=4)
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not torch.equal(
        weights(tmp_path / "a")["model/0.weight"], weights(tmp_path / "c")["model/0.weight"]
    )


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_equals_undisturbed(tmp_path):
    run(tmp_path / "whole")
    draw = random.Random(5)
    kills = 0
    while True:
        process = subprocess.Popen([sys.executable, str(SCRIPT), str(tmp_path / "killed")])
        try:
            # Importing takes seconds: start the clock when the run shows signs of life.
            before = CheckpointFolder(tmp_path / "killed" / "checkpoints").files()
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                if CheckpointFolder(tmp_path / "killed" / "checkpoints").files() != before:
                    break
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.15))
            if kills < 3 and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
                process.wait()
                continue
            assert process.wait(timeout=60) == 0
            break
        finally:
            process.kill()
    assert kills == 3
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    whole = [json.loads(x) for x in (tmp_path / "whole" / "history.jsonl").read_text().splitlines()]
    killed = [json.loads(x) for x in (tmp_path / "killed" / "history.jsonl").read_text().splitlines()]
    for a, b in zip(whole, killed, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {
            k: v for k, v in b.items() if k != "seconds"
        }


def test_finished_run_is_not_repeated(tmp_path):
    first = run(tmp_path)
    task = ToyTask()
    again = run(tmp_path, task=task)
    assert again.resumed_from == 30
    assert task.seen == []
    assert again.history == first.history
    assert_same(dict(again.model.state_dict()), dict(first.model.state_dict()))


def test_a_finished_run_has_its_history_again_if_it_was_lost(tmp_path):
    run(tmp_path)
    path = tmp_path / "history.jsonl"
    lines, made = path.read_text(), path.stat().st_mtime_ns
    run(tmp_path)
    assert path.stat().st_mtime_ns == made, "what is the same is left alone"
    path.unlink()
    run(tmp_path)
    assert path.read_text() == lines


def test_other_settings_start_over_and_keep_the_old_checkpoints_aside(tmp_path, capsys):
    run(tmp_path)
    result = run(tmp_path, learning_rate=5e-3)
    assert result.resumed_from == 0
    assert "learning_rate" in capsys.readouterr().out
    assert CheckpointFolder(tmp_path / "checkpoints.replaced").files()


def test_accumulated_passes_equal_one_large_pass(tmp_path):
    class NoStatistics(ToyTask):
        def __init__(self):
            super().__init__()
            self.model = torch.nn.Sequential(self.model[0], self.model[3])

        def batches(self, steps, device):
            for step in steps:
                yield self.inputs[step.local_indices], self.targets[step.local_indices]

    run(tmp_path / "one", task=NoStatistics())
    run(tmp_path / "two", task=NoStatistics(), accumulation_steps=2)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)


def test_average_is_the_returned_model(tmp_path):
    averaged = run(tmp_path / "a").model.state_dict()
    checkpoint = CheckpointFolder(tmp_path / "a" / "checkpoints").newest()
    assert torch.equal(averaged["0.weight"], checkpoint.tensors["average/module.0.weight"])
    assert not torch.equal(averaged["0.weight"], checkpoint.tensors["model/0.weight"])


def test_non_finite_loss_stops_and_names_the_samples(tmp_path):
    with pytest.raises(FloatingPointError, match=r"loss is nan at step \d .*samples \[.*13.*\]"):
        run(tmp_path, task=ToyTask(spoilt=13))
    newest = CheckpointFolder(tmp_path / "checkpoints").newest()
    assert newest is None or torch.isfinite(newest.tensors["model/0.weight"]).all()


def test_damaged_checkpoint_is_named(tmp_path):
    run(tmp_path)
    newest = CheckpointFolder(tmp_path / "checkpoints").files()[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.raises(ValueError, match=f"{newest.name}.*delete it"):
        run(tmp_path)


def test_tensors_that_are_no_checkpoint_are_refused(tmp_path):
    from pctlib.io import write_tensors

    path = write_tensors(tmp_path / "weights.safetensors", {"a": torch.zeros(2)})
    with pytest.raises(ValueError, match="weights.safetensors: holds tensors but is not"):
        read_checkpoint(path)


def test_no_write_permission_is_named(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(OSError, match=r"cannot write .*step-.*Permission denied"):
        run(tmp_path)
