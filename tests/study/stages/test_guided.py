"""Several trained tokenizers at once: those that are there, with or without a guide."""

import pytest
import torch

from pctlib.models.tokenizer import GuidedTokenizer
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO
from pctlib.study.stages.guided import load_tokenizers
from pctlib.study.stages.heatmap import build_backbone
from pctlib.study.stages.tokenizer import build_tokenizer, save_tokenizer


def save(folder, **changes):
    torch.manual_seed(0)
    profile = load_profile("smoke", **changes)
    channels = build_backbone(profile).channels[-1] if profile.tokenizer.guide_ratio else 0
    model = build_tokenizer(profile, num_keypoints=COCO.num_keypoints, guide_channels=channels)
    save_tokenizer(model, profile, COCO, folder)
    return model


def test_those_that_are_trained_are_read_in_order(tmp_path):
    few = save(tmp_path / "few", tokenizer__num_tokens=2)
    save(tmp_path / "failed")
    (tmp_path / "failed" / "model.safetensors").unlink()  # as `train_variants` does
    save(tmp_path / "many", tokenizer__num_tokens=5)
    folders = {name: tmp_path / name for name in ("many", "missing", "failed", "few")}
    found = load_tokenizers(folders, tmp_path / "no backbone is needed")
    assert [(name, model.num_tokens) for name, model in found.items()] == [("many", 5), ("few", 2)]
    torch.testing.assert_close(found["few"].state_dict(), few.state_dict())
    assert not found["few"].training


def test_a_guided_one_brings_its_backbone(tmp_path, monkeypatch):
    save(tmp_path / "guided", tokenizer__guide_ratio=0.5, classifier__cached_views=0)
    with pytest.raises(FileNotFoundError, match="02_heatmap"):
        load_tokenizers({"guided": tmp_path / "guided"}, tmp_path / "heatmap-seed0")
    backbone = build_backbone(load_profile("smoke"))
    trained = type("Trained", (), {"backbone": backbone})
    monkeypatch.setattr("pctlib.study.stages.guided.load_heatmap", lambda folder: trained)
    [model] = load_tokenizers({"guided": tmp_path / "guided"}, tmp_path / "heatmap-seed0").values()
    assert isinstance(model, GuidedTokenizer)
    assert model.guide is backbone
