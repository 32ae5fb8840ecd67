"""Profiles: read, validated, changed by the few values of a run."""

import pytest

from pctlib.profiles import load_profile, profile_names


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_valid_and_named_after_its_file(name):
    assert load_profile(name).name == name


def test_there_are_the_promised_profiles():
    assert set(profile_names()) >= {"smoke", "demo", "extended", "paper"}


def test_changes_replace_single_values_and_none_changes_nothing():
    changed = load_profile("demo", tokenizer__num_tokens=5, tokenizer__codebook_size=None)
    demo = load_profile("demo")
    assert changed.tokenizer.num_tokens == 5
    assert changed.tokenizer.codebook_size == demo.tokenizer.codebook_size
    assert changed.heatmap == demo.heatmap


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer__num_tokens": 0}, r"tokenizer.num_tokens: .* greater than or equal to 1, got 0"),
        ({"tokenizer__codebook_size": 0}, r"tokenizer.codebook_size: .* got 0"),
        ({"tokenizer__codebok_size": 64}, r"tokenizer.codebok_size: unknown key, got 64"),
        ({"colour": "red"}, r"colour: unknown key"),
        ({"seeds": [1, 1]}, r"seeds: expected distinct"),
        ({"name__first": 1}, r"'name' holds a value, not a section"),
    ],
)
def test_bad_values_are_named_with_file_and_key(change, message):
    with pytest.raises(ValueError, match=r"demo\.yml.*" + message):
        load_profile("demo", **change)


def test_unknown_profile_lists_those_there_are():
    with pytest.raises(ValueError, match="expected one of .*demo.*, got 'dmo'"):
        load_profile("dmo")


def test_own_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mine\.yml"):
        load_profile(tmp_path / "mine.yml")
    (tmp_path / "mine.yml").write_text("- a list")
    with pytest.raises(ValueError, match=r"mine\.yml: expected a mapping"):
        load_profile(tmp_path / "mine.yml")
    (tmp_path / "mine.yml").write_text("name: mine\ndescription: a part\n")
    with pytest.raises(ValueError, match=r"people: Field required; crop: Field required"):
        load_profile(tmp_path / "mine.yml")
    (tmp_path / "mine.yml").write_text("name: [unclosed")
    with pytest.raises(ValueError, match=r"mine\.yml: not valid YAML"):
        load_profile(tmp_path / "mine.yml")
