"""Profiles: read, validated, changed by the few values of a run."""

import pytest

from pctlib.models.vit import SIZES
from pctlib.profiles.profile import load_profile, profile_names


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


def test_vitpose_in_the_paper_profile_is_as_released():
    """The released configuration of ViTPose-B, and the size that is built for it."""
    section = load_profile("paper").masked
    size, training = section.vitpose, section.vitpose.training
    published = SIZES["b"]
    assert (size.dim, size.depth, size.heads) == (published.channels, published.depth, published.num_heads)
    assert (size.drop_path, training.layer_decay) == (published.drop_path, published.layer_decay)
    assert section.input_size == (256, 192)
    assert (training.epochs, training.decay_epochs, training.warmup_steps) == (210, (170, 200), 500)
    assert (training.batch_size, training.learning_rate, training.weight_decay) == (8 * 64, 5e-4, 0.1)
    assert (training.betas, training.max_grad_norm) == ((0.9, 0.999), 1.0)
    changes = size.augmentation
    assert (changes.flip, changes.half_body, changes.rotation_probability, changes.scale) == (
        0.5,
        0.3,
        0.6,
        0.5,
    )
    assert load_profile("paper").flexibility.training == training


def test_masked_autoencoding_in_the_paper_profile_is_as_published():
    """He et al. 2022, arXiv:2111.06377, appendix A.1; the batch of 4096 at 1.5e-4 for each 256."""
    section = load_profile("paper").masked.pretraining
    assert (section.mask_ratio, section.normalise) == (0.75, True)
    assert (section.decoder_dim, section.decoder_depth, section.decoder_heads) == (512, 8, 16)
    training = section.training
    assert (training.epochs, training.batch_size, training.betas) == (1600, 4096, (0.9, 0.95))
    assert training.learning_rate == pytest.approx(1.5e-4 * 4096 / 256)
