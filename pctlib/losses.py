"""Every loss of the package as a pure function, each with the source of its formula."""

import torch
import torch.nn.functional as F
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


def keypoint_smooth_l1(pred: Tensor, target: Tensor, labelled: Tensor, *, beta: float = 1.0) -> Tensor:
    """Return the smooth L1 distance averaged over the labelled keypoints of a batch.

    Args:
        pred: [B, K, D] predicted coordinates, input pixels (3D: millimetres).
        target: [B, K, D] reference, same space and unit as `pred`; anything where not labelled.
        labelled: [B, K] bool.
        beta: distance where quadratic turns linear, in the unit of `pred`.

    Returns:
        Scalar: sum over labelled coordinates / their number; 0, with zero gradient, if none is.

    Raises:
        ValueError: if the shapes disagree or `labelled` is not bool.
    """
    total = _labelled_smooth_l1(pred, target, labelled, beta)
    return total / (pred.shape[-1] * labelled.sum()).clamp(min=1)


def keypoint_smooth_l1_over_all(
    pred: Tensor, target: Tensor, labelled: Tensor, *, beta: float = 0.05
) -> Tensor:
    """Return the smooth L1 distance of the labelled keypoints, divided by the number of all keypoints.

    The published loss of PCT: it falls as fewer keypoints of a batch are labelled.

    Source: release of Geng et al. 2023, arXiv:2303.11638, `JointS1Loss`; beta is 0.05 pixel there.

    Args:
        pred: [B, K, D] predicted coordinates, input pixels (3D: millimetres).
        target: [B, K, D] reference, same space and unit as `pred`; anything where not labelled.
        labelled: [B, K] bool.
        beta: distance where quadratic turns linear, in the unit of `pred`.

    Returns:
        Scalar: sum over labelled coordinates / (B K D).

    Raises:
        ValueError: if the shapes disagree or `labelled` is not bool.
    """
    return _labelled_smooth_l1(pred, target, labelled, beta) / pred.numel()


def _labelled_smooth_l1(pred: Tensor, target: Tensor, labelled: Tensor, beta: float) -> Tensor:
    """Return the smooth L1 distance summed over labelled coordinates."""
    shapes_agree = pred.ndim == 3 and pred.shape == target.shape and labelled.shape == pred.shape[:2]
    if not shapes_agree or labelled.dtype != torch.bool:
        got = [(tuple(t.shape), t.dtype) for t in (pred, target, labelled)]
        raise ValueError(f"expected [B, K, D], [B, K, D] and bool [B, K], got {got}")
    # Mask the error, not the loss: a NaN at an unlabelled joint would survive in the gradient.
    error = torch.where(labelled.unsqueeze(-1), pred.float() - target.float(), 0.0)  # [B, K, D]
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=beta, reduction="sum")


def commitment(tokens: Tensor, codes: Tensor) -> Tensor:
    """Return the mean squared distance of tokens from their codebook entries; only the tokens are pulled.

    Source: van den Oord et al. 2017, arXiv:1711.00937, third term of equation 3.

    Args:
        tokens: [B, M, E] features before the codebook.
        codes: [B, M, E] their entries.

    Returns:
        Scalar, unweighted.

    Raises:
        ValueError: if the shapes disagree.
    """
    if tokens.shape != codes.shape:
        raise ValueError(
            f"expected tokens and codes of one shape, got {tuple(tokens.shape)} and {tuple(codes.shape)}"
        )
    return F.mse_loss(tokens, codes.detach())


def tokenizer_losses(
    output: tuple[Tensor, Tensor, Tensor, Tensor],
    keypoints: Tensor,
    visible: Tensor,
    *,
    beta: float = 0.05,
    commitment_weight: float = 15.0,
) -> dict[str, Tensor]:
    """Return the losses of the pose tokenizer; the defaults are the published values.

    Source: Geng et al. 2023, arXiv:2303.11638, equation 3.

    Args:
        output: keypoints [B, K, D], tokens [B, M, E], codes [B, M, E] and indices [B, M] of the tokenizer.
        keypoints: [B, K, D] the poses it was given, input pixels (3D: millimetres).
        visible: [B, K] COCO flags 0, 1, 2 or bool. Keypoints hidden at random from the encoder still count.
        beta: distance where the loss turns from quadratic to linear, in the unit of the keypoints.
        commitment_weight: weight of the commitment.

    Returns:
        "keypoints" (per coordinate, in the unit of the keypoints) and "commitment" (weighted).
    """
    restored, tokens, codes, _ = output
    return {
        "keypoints": keypoint_smooth_l1_over_all(restored, keypoints, visible > 0, beta=beta),
        "commitment": commitment_weight * commitment(tokens, codes),
    }


def simcc_kl(
    pred: Tensor, target: Tensor, weights: Tensor, *, beta: float = 1.0, label_beta: float | None = None
) -> Tensor:
    """Return the KL divergence of the bins of one axis from their labels, summed over the batch.

    Source: Jiang et al. 2023 (RTMPose), arXiv:2303.07399, section 3.3 (soft labels, beta 10); Li et al. 2022
    (SimCC), arXiv:2107.03332 (labels as they are, beta 1); equal to mmpose 1.3.2 `KLDiscretLoss`.

    Args:
        pred: [B, K, W] unnormalised predictions of one axis.
        target: [B, K, W] labels.
        weights: [B, K], 0 for keypoints that do not count.
        beta: inverse temperature of the softmax over `pred`.
        label_beta: inverse temperature of a softmax over `target`. None: the labels as they are.

    Returns:
        Scalar: sum over batch and keypoints of weight x mean over bins, / K. As published, it grows with B.

    Raises:
        ValueError: if the shapes disagree.
    """
    if pred.shape != target.shape or weights.shape != pred.shape[:2]:
        got = [tuple(t.shape) for t in (pred, target, weights)]
        raise ValueError(f"expected [B, K, W], [B, K, W] and [B, K], got {got}")
    log_pred = F.log_softmax(pred.float() * beta, dim=-1)
    labels = target if label_beta is None else F.softmax(target * label_beta, dim=-1)
    divergence = F.kl_div(log_pred, labels, reduction="none").mean(dim=-1)  # [B, K]
    return (divergence * weights).sum() / pred.shape[1]


def feature_distillation(student: Tensor, teacher: Tensor, *, per_element: bool = False) -> Tensor:
    """Return the squared distance of a student's features from the teacher's.

    Source: Yang et al. 2023 (DWPose), arXiv:2307.15880, equation 1 and release.

    Args:
        student: [B, C, H, W], already brought to the teacher's channels.
        teacher: [B, C, H, W], takes no gradient.
        per_element: also divide by C H W, as in the paper; the release divides by B only.

    Raises:
        ValueError: if the shapes disagree.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"expected features of one shape, got {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    squares = (student.float() - teacher.detach().float()).square()
    return squares.mean() if per_element else squares.sum() / len(squares)


def logit_distillation(
    student: Tensor, teacher: Tensor, *, beta: float = 10.0, cross_entropy: bool = False
) -> Tensor:
    """Return how far a student's distribution over the bins of one axis is from the teacher's.

    All keypoints count, labelled or not: the teacher has an answer for each.

    Source: Yang et al. 2023 (DWPose), arXiv:2307.15880, equation 2 and release.

    Args:
        student: [B, K, W] unnormalised.
        teacher: [B, K, W] unnormalised, takes no gradient.
        beta: inverse temperature of both softmaxes.
        cross_entropy: the paper's formula: cross-entropy, summed over keypoints and bins, / B. Else the
            release's: KL divergence, summed likewise, / (B K). Their gradients differ by the factor K alone.

    Raises:
        ValueError: if the shapes disagree.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"expected logits of one shape, got {tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    B, K, _ = student.shape
    log_student = F.log_softmax(student.float() * beta, dim=-1)
    probability = F.softmax(teacher.detach().float() * beta, dim=-1)
    if cross_entropy:
        return -(probability * log_student).sum() / B
    return F.kl_div(log_student, probability, reduction="sum") / (B * K)


def set_prediction(
    logits: Tensor,
    coordinates: Tensor,
    queries: Tensor,
    target: Tensor,
    labelled: Tensor,
    *,
    no_object_weight: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """Return how far a set of predictions is from K keypoints, each of which was given one of them.

    Source: Li et al. 2021 (PRTR), arXiv:2104.06976, section 3.4, and release (`SetCriterion`).

    Args:
        logits: [B, N, K + 1] of each query for each keypoint and, last, for none.
        coordinates: [B, N, 2] of each query.
        queries: [B, K] index of the query given to each keypoint; no index twice in a row.
        target: [B, K, 2] reference, same space and unit as `coordinates`; anything where not labelled.
        labelled: [B, K] bool.
        no_object_weight: weight of the queries given to no keypoint.

    Returns:
        Cross-entropy over all queries, divided by the sum of their weights, and the L1 distance of the
        labelled keypoints, summed over keypoints, averaged over the batch and x and y.

    Raises:
        ValueError: if the shapes disagree or `labelled` is not bool.
    """
    B, K = labelled.shape
    shapes_agree = queries.shape == (B, K) and target.shape == (B, K, 2) and logits.shape[-1] == K + 1
    if not shapes_agree or coordinates.shape != (*logits.shape[:2], 2) or labelled.dtype != torch.bool:
        got = [(tuple(t.shape), t.dtype) for t in (logits, coordinates, queries, target, labelled)]
        raise ValueError(f"expected [B, N, K + 1], [B, N, 2], [B, K], [B, K, 2] and bool [B, K], got {got}")
    classes = torch.full(logits.shape[:2], K, device=logits.device)  # [B, N]
    classes.scatter_(1, queries, torch.arange(K, device=logits.device).expand(B, -1))
    weights = torch.ones(K + 1, device=logits.device)
    weights[K] = no_object_weight
    classification = F.cross_entropy(logits.float().transpose(1, 2), classes, weights)
    found = coordinates.float().gather(1, queries.unsqueeze(-1).expand(-1, -1, 2))  # [B, K, 2]
    error = torch.where(labelled.unsqueeze(-1), found - target, 0.0)
    return classification, error.abs().sum() / (2 * B)


def residual_log_likelihood(error: Tensor, sigma: Tensor, log_phi: Tensor, labelled: Tensor) -> Tensor:
    """Return the negative log-likelihood of keypoints under a Laplace density times a learned residual.

    Source: Li et al. 2021 (RLE), arXiv:2107.11291, section 3.3 and release.
    Differs: divided by the number of labelled coordinates; the release divides by B.

    Args:
        error: [B, K, D] (prediction - reference) / sigma; anything where not labelled.
        sigma: [B, K, D] predicted deviations, in (0, 1).
        log_phi: [B, K] logarithm of the residual density at `error`.
        labelled: [B, K] bool.

    Raises:
        ValueError: if the shapes disagree or `labelled` is not bool.
    """
    shapes_agree = error.shape == sigma.shape and log_phi.shape == labelled.shape == error.shape[:2]
    if not shapes_agree or labelled.dtype != torch.bool:
        got = [(tuple(t.shape), t.dtype) for t in (error, sigma, log_phi, labelled)]
        raise ValueError(f"expected [B, K, D], [B, K, D], [B, K] and bool [B, K], got {got}")
    mask = labelled.unsqueeze(-1)
    residual = sigma.log() - log_phi.unsqueeze(-1)  # [B, K, D]
    laplace = (2 * sigma).log() + error.abs()
    total = torch.where(mask, residual + laplace, 0.0).sum()
    return total / (error.shape[-1] * labelled.sum()).clamp(min=1)
