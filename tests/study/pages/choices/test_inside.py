"""Tokenizers that differ in hiding, on poses with hidden joints."""

from pathlib import Path
from types import SimpleNamespace

import torch
from helpers.study_people import make_people

from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO
from pctlib.study.pages.choices.changes import BASE, TOKENIZERS
from pctlib.study.pages.choices.inside import HIDING, guesses
from pctlib.study.poses import load_poses
from pctlib.study.stages.tokenizer import build_tokenizer, reconstruct, save_tokenizer
from pctlib.study.variants import run_folder


def test_each_trained_one_guesses_what_it_was_not_given(tmp_path):
    profile = load_profile("smoke")
    page = SimpleNamespace(folder=tmp_path, seed=4, run=lambda step, seed: Path("nowhere"))
    poses = load_poses(make_people(tmp_path / "people", 6), profile, training=False)
    hidden = torch.zeros(6, 17, dtype=torch.bool)
    assert guesses(page, poses, hidden) == {}
    models = {}
    for number, name in enumerate((BASE, "no joint hidden", "one token")):
        torch.manual_seed(number)
        models[name] = build_tokenizer(profile, num_keypoints=COCO.num_keypoints).eval()
        save_tokenizer(models[name], profile, COCO, run_folder(tmp_path / "tokenizers" / "seed4", name))
    hidden[:, 5:9] = True
    found = guesses(page, poses, hidden)
    assert list(found) == ["no joint hidden", BASE]
    for name, read_back in found.items():
        torch.testing.assert_close(read_back, reconstruct(models[name], poses, hidden=hidden)[0])
        assert not torch.equal(read_back, reconstruct(models[name], poses)[0])


def test_all_of_them_are_choices_of_the_page():
    assert set(HIDING) <= set(TOKENIZERS)
