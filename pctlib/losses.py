"""Every loss of the package as a pure function, each with the source of its formula."""

import torch
from torch import Tensor


def heatmap_mse(pred: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the mean squared error of heatmaps, weighted by keypoint.

    Source: Xiao et al. 2018 (SimpleBaseline), arXiv:1804.06208; equal to mmpose 1.3.2 `KeypointMSELoss`.
    Differs: twice the loss of the SimpleBaseline and HRNet releases, which carry a factor 0.5.

    Args:
        pred: [B, K, H, W] predicted maps.
        target: [B, K, H, W] reference maps.
        weights: [B, K], 0 for keypoints that do not count.

    Returns:
        Scalar: sum of weight x squared error / (B K H W). Keypoints of weight 0 stay in the divisor.

    Raises:
        ValueError: if the shapes disagree.
    """
    if pred.shape != target.shape or weights.shape != pred.shape[:2]:
        got = [tuple(t.shape) for t in (pred, target, weights)]
        raise ValueError(f"expected [B, K, H, W], [B, K, H, W] and [B, K], got {got}")
    # Mask the error, not the loss: a NaN in a map that does not count would survive in the gradient.
    error = torch.where((weights > 0)[..., None, None], pred.float() - target, 0.0)  # [B, K, H, W]
    return (weights[..., None, None] * error.square()).mean()
