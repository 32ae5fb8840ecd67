"""The published PCT models (github.com/Gengzigang/PCT) under our names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from pctlib.checkpoints.files import NameTable, Shapes, count, load_strictly, naming, part
from pctlib.checkpoints.swin import load_swin
from pctlib.models.backbones import Backbone
from pctlib.models.estimator import PoseEstimator
from pctlib.models.layers import MixerSize
from pctlib.models.representations.pct import HeadSize, PCTClassifier
from pctlib.models.tokenizer import GuidedTokenizer, PoseTokenizer
from pctlib.skeletons import SKELETONS, Skeleton

_HEAD, _TOKENIZER = "keypoint_head.", "keypoint_head.tokenizer."
_BACKBONE, _GUIDE = "backbone.", "extra_backbone."
# The key point sets of the release's flip test, by K; LSP-14 and Human3.6M-17 are not among them.
BY_COUNT = {17: "coco", 14: "crowdpose", 16: "mpii"}


def _mixer_pairs(official: str, ours: str) -> list[tuple[str, str]]:
    """Return the names of a stack of mixer layers."""
    pairs = [("layernorm1.*", "token_norm.*"), ("layernorm2.*", "channel_norm.*")]
    for theirs, mlp in (("MLP_token", "token_mlp"), ("MLP_channel", "channel_mlp")):
        pairs += [(f"{theirs}.ff.0.*", f"{mlp}.fc1.*"), (f"{theirs}.ff.3.*", f"{mlp}.fc2.*")]
    return [(f"{official}.#.{a}", f"{ours}.#.{b}") for a, b in pairs]


TOKENIZER_NAMES = NameTable(
    [
        ("invisible_token", "invisible_token"),
        ("codebook", "codebook.codebook"),
        ("ema_cluster_size", "codebook.ema_cluster_size"),
        ("ema_w", "codebook.ema_w"),
        ("start_embed.*", "embed_coordinates.*"),
        ("start_img_embed.*", "embed_features.*"),
        *_mixer_pairs("encoder", "encoder"),
        ("encoder_layer_norm.*", "encoder_norm.*"),
        ("token_mlp.*", "keypoints_to_tokens.*"),
        ("feature_embed.*", "to_token_dim.*"),
        ("decoder_token_mlp.*", "tokens_to_keypoints.*"),
        ("decoder_start.*", "to_decoder_dim.*"),
        *_mixer_pairs("decoder", "decoder"),
        ("decoder_layer_norm.*", "decoder_norm.*"),
        ("recover_embed.*", "to_coordinates.*"),
    ],
    ours_only=["codebook.idle_updates"],
)

HEAD_NAMES = NameTable(
    [
        ("conv_trans.0.*", "reduce.*"),
        ("conv_trans.1.*", "reduce_norm.*"),
        ("conv_head.0.#.conv1.*", "blocks.#.conv1.*"),
        ("conv_head.0.#.bn1.*", "blocks.#.norm1.*"),
        ("conv_head.0.#.conv2.*", "blocks.#.conv2.*"),
        ("conv_head.0.#.bn2.*", "blocks.#.norm2.*"),
        ("mixer_trans.ff.0.*", "to_tokens.linear.*"),
        ("mixer_trans.ff.1.*", "to_tokens.norm.*"),
        *_mixer_pairs("mixer_head", "mixer"),
        ("mixer_norm_layer.ff.0.*", "mixer_norm.linear.*"),
        ("mixer_norm_layer.ff.1.*", "mixer_norm.norm.*"),
        ("cls_pred_layer.*", "classify.*"),
    ]
)


def is_pct(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a published PCT model."""
    return any(name.startswith(_TOKENIZER) for name in state)


def load_pct(
    state: Mapping[str, Tensor],
    file: str | Path,
    *,
    skeleton: Skeleton | None = None,
    flip_permutation: Sequence[int] | None = None,
) -> PoseTokenizer | GuidedTokenizer | PoseEstimator:
    """Return the published PCT model that a checkpoint holds, in eval mode.

    Args:
        state: official names to tensors, of a whole detector.
        file: named in errors.
        skeleton: keypoints of the model. None: COCO, CrowdPose or MPII, by their K of 17, 14 or 16.
        flip_permutation: K indices for the flip test of a classifier. None: that of the skeleton.

    Returns:
        For a tokenizer a `PoseTokenizer`, with image guidance a `GuidedTokenizer`. For a classifier a
        `PoseEstimator`; with image guidance its representation holds the guide, which only `encode` uses.

    Raises:
        ValueError: if a name is missing or unexpected or a shape does not fit; names the file.
    """
    parts = (_TOKENIZER, _HEAD, _BACKBONE, _GUIDE)
    strangers = [name for name in state if not name.startswith(parts)]
    if strangers:
        raise ValueError(f"{file}: unexpected names in a PCT model: {', '.join(strangers[:8])}")
    head = {name: value for name, value in part(state, _HEAD).items() if not name.startswith("tokenizer.")}
    tokenizer = load_tokenizer(part(state, _TOKENIZER), file, prefix=_TOKENIZER)
    guide = load_swin(part(state, _GUIDE), file, prefix=_GUIDE) if part(state, _GUIDE) else None
    if (guide is not None) != tokenizer.guided:
        raise ValueError(
            f"{file}: '{_GUIDE}*' and '{_TOKENIZER}start_img_embed.*' belong together; one is missing"
        )
    if not head and not part(state, _BACKBONE):
        return tokenizer if guide is None else GuidedTokenizer(guide, tokenizer).eval()
    backbone = load_swin(part(state, _BACKBONE), file, prefix=_BACKBONE)
    K = tokenizer.num_keypoints
    if skeleton is not None and skeleton.num_keypoints != K:
        raise ValueError(
            f"{file}: the model gives {K} keypoints, skeleton '{skeleton.name}' has {skeleton.num_keypoints}"
        )
    if flip_permutation is None and (skeleton is not None or K in BY_COUNT):
        flip_permutation = (skeleton or SKELETONS[BY_COUNT[K]]).flip_permutation
    classifier = build_classifier(
        head, tokenizer, file, flip_permutation=flip_permutation, guide=guide, prefix=_HEAD
    )
    return PoseEstimator(backbone, classifier).eval()


def load_tokenizer(state: Mapping[str, Tensor], file: str | Path, *, prefix: str = "") -> PoseTokenizer:
    """Return a published tokenizer in eval mode; all sizes come from the shapes.

    The rate of hidden keypoints in training is not in a checkpoint and gets the published 0.2.

    Args:
        state: official names without prefix (`invisible_token`, ...) to tensors.
        file: named in errors.
        prefix: what stands before these names in the file.

    Raises:
        ValueError: if a name is missing or unexpected or a shape does not fit.
    """
    shapes = Shapes(state, file, prefix)
    dim = shapes.size("invisible_token", 2, ndim=3)
    guide_channels, guide_dim = 0, 0
    if "start_img_embed.weight" in state:
        guide_dim, guide_channels = (shapes.size("start_img_embed.weight", axis) for axis in (0, 1))
    sizes = {
        "codebook_size": shapes.size("codebook", 0),
        "token_dim": shapes.size("codebook", 1),
        "encoder": _mixer_size(state, shapes, "encoder", dim),
        "decoder": _mixer_size(state, shapes, "decoder", shapes.size("decoder_start.weight", 0)),
        "num_dims": shapes.size("recover_embed.weight", 0),
        "guide_channels": guide_channels,
        "guide_ratio": guide_dim / dim if dim else 0.0,
    }
    num_tokens, num_keypoints = (shapes.size("token_mlp.weight", axis) for axis in (0, 1))
    with naming(file):
        tokenizer = PoseTokenizer(num_keypoints, num_tokens, **sizes)
    load_strictly(tokenizer, state, TOKENIZER_NAMES, file, prefix=prefix)
    return tokenizer.eval()


def build_classifier(
    state: Mapping[str, Tensor],
    tokenizer: PoseTokenizer,
    file: str | Path,
    *,
    flip_permutation: Sequence[int] | None = None,
    guide: Backbone | None = None,
    prefix: str = "",
) -> PCTClassifier:
    """Return a published classifier in eval mode around its tokenizer.

    The dilation is not in a checkpoint; it is 1, as in all published ones.

    Args:
        state: official names without prefix and without the tokenizer's (`conv_trans.0.weight`, ...) to
            tensors.
        tokenizer: as `load_tokenizer` gives it.
        file: named in errors.
        flip_permutation: K indices for the flip test, or None.
        guide: backbone that guides the tokenizer, or None.
        prefix: what stands before these names in the file.

    Raises:
        ValueError: if a name is missing or unexpected, a shape does not fit or the input is not square.
    """
    shapes = Shapes(state, file, prefix)
    channels = shapes.size("conv_trans.0.weight", 0, ndim=4)
    cells = shapes.size("mixer_trans.ff.0.weight", 1) / channels
    side = round(cells**0.5)
    if side**2 != cells:
        name = f"{prefix}mixer_trans.ff.0.weight"
        raise ValueError(f"{file}: '{name}' expects {cells:g} cells of {channels} channels, not a square map")
    dim = shapes.size("mixer_norm_layer.ff.0.weight", 0)
    mixer = _mixer_size(state, shapes, "mixer_head", dim)
    classifier = PCTClassifier(
        tokenizer,
        shapes.size("conv_trans.0.weight", 1, ndim=4),
        input_size=(32 * side, 32 * side),
        flip_permutation=flip_permutation,
        head=HeadSize(conv_channels=channels, num_blocks=count(state, "conv_head.0."), mixer=mixer),
        guide=guide,
    )
    load_strictly(classifier.head, state, HEAD_NAMES, file, prefix=prefix)
    return classifier.eval()


def _mixer_size(state: Mapping[str, Tensor], shapes: Shapes, stack: str, dim: int) -> MixerSize:
    """Return the size of the stack of mixer layers under a name."""
    return MixerSize(
        dim=dim,
        num_layers=count(state, f"{stack}."),
        token_hidden=shapes.size(f"{stack}.0.MLP_token.ff.0.weight", 0),
        channel_hidden=shapes.size(f"{stack}.0.MLP_channel.ff.0.weight", 0),
    )
