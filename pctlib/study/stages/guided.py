"""Trained tokenizers, each with the backbone that guides it if it has one."""

from collections.abc import Mapping
from pathlib import Path

from pctlib.models.tokenizer import GuidedTokenizer, PoseTokenizer
from pctlib.study.stages.heatmap import load_heatmap
from pctlib.study.stages.tokenizer import load_tokenizer


def load_any_tokenizer(tokenizer_dir: str | Path, heatmap_dir: str | Path) -> PoseTokenizer | GuidedTokenizer:
    """Read a trained tokenizer in eval mode, with the backbone that guides it if it has one.

    Args:
        tokenizer_dir: folder of a run of stage I.
        heatmap_dir: folder of the backbone; looked at only if the tokenizer is guided.

    Raises:
        FileNotFoundError: if a run is missing.
    """
    tokenizer = load_tokenizer(tokenizer_dir)
    if not tokenizer.guided:
        return tokenizer
    return GuidedTokenizer(load_heatmap(heatmap_dir).backbone, tokenizer).eval()


def load_tokenizers(
    folders: Mapping[str, Path], heatmap_dir: str | Path
) -> dict[str, PoseTokenizer | GuidedTokenizer]:
    """Read those of several tokenizers that are trained; one whose training failed has no weights.

    Args:
        folders: name -> folder of a run of stage I.
        heatmap_dir: as for `load_any_tokenizer`.
    """
    trained = {name: folder for name, folder in folders.items() if (folder / "model.safetensors").is_file()}
    return {name: load_any_tokenizer(folder, heatmap_dir) for name, folder in trained.items()}
