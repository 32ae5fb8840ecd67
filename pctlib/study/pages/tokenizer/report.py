"""What the page of the tokenizer says."""

import math
from collections.abc import Mapping


def finding(metrics: Mapping[str, float], *, num_tokens: int, codebook_size: int) -> str:
    """Return in plain words how well poses come back.

    Args:
        metrics: of `evaluate_tokenizer`.
        num_tokens: M.
        codebook_size: V.
    """
    error = (
        f"{metrics['error px']:.2f} image pixels"
        if "error px" in metrics
        else f"{metrics['MPJPE mm']:.1f} mm"
    )
    precision = f" and an OKS-AP of {100 * metrics['AP']:.1f} %" if "AP" in metrics else ""
    bits = num_tokens * math.log2(codebook_size)
    return (
        f"Poses of people it has not seen come back with a mean error of {error}{precision}. They are "
        f"written as {num_tokens} tokens of {codebook_size} entries ({bits:.0f} bits); "
        f"{100 * metrics['codebook usage']:.0f} % of the entries are in use."
    )
