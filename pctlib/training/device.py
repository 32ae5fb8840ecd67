"""Which device a run uses."""

import torch

from pctlib.training.arithmetic import choose_arithmetic, chosen_arithmetic


def choose_device(device: str) -> torch.device:
    """Turn "auto", "cpu" or "cuda" into a device; the first CPU of a process chooses its arithmetic, too.

    Raises:
        ValueError: if the name is unknown or a GPU is asked for and there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device: expected 'auto', 'cpu' or 'cuda', got '{device}'")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: 'cuda' was asked for but torch sees no GPU; use 'cpu' or 'auto'")
    available = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(available if device == "auto" else device)
    if chosen.type == "cpu" and chosen_arithmetic() is None:
        choose_arithmetic()
    return chosen
