"""PRTR: keypoints as the answers of a transformer's queries, matched to the reference as a set."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from pctlib.losses import set_prediction
from pctlib.models.attention import EncoderLayer, init_matrices, sine_positions
from pctlib.models.representations.base import Keypoints, feature_grid
from pctlib.models.representations.regression import Regression, RegressionPrediction, RegressionTarget
from pctlib.models.representations.simcc import check_grid


class PRTRPrediction(NamedTuple):
    """What N queries answer after each of L decoder layers.

    Attributes:
        logits: [B, L, N, K + 1], for each keypoint and, last, for none.
        coordinates: [B, L, N, 2], share of the input's width and height.
    """

    logits: Tensor
    coordinates: Tensor


class DecoderLayer(EncoderLayer):
    """A layer whose tokens look at each other, then at the cells of the image.

    Source: Carion et al. 2020, arXiv:2005.12872, appendix A.3; names as in the release.

    Args:
        dim: width E of the tokens.
        num_heads: heads of both attentions.
        hidden: width inside the two-layer network.
    """

    def __init__(self, dim: int, num_heads: int, *, hidden: int) -> None:
        super().__init__(dim, num_heads, hidden=hidden)
        self.multihead_attn = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, queries: Tensor, memory: Tensor, positions: Tensor) -> Tensor:
        """Return [B, N, E].

        Args:
            x: [B, N, E], what the queries have gathered so far.
            queries: [N, E], added to `x` wherever it asks or is asked.
            memory: [B, T, E], the cells of the image.
            positions: [T, E], added to the cells where they are asked.
        """
        q = k = x + queries
        x = self.norm1(x + self.self_attn(q, k, x, need_weights=False)[0])
        seen = self.multihead_attn(x + queries, memory + positions, memory, need_weights=False)[0]
        x = self.norm2(x + seen)
        return self.norm3(x + self.linear2(self.linear1(x).relu()))


class PRTRHead(nn.Module):
    """DETR's transformer on one feature map: N queries answer which keypoint they are, and where it is.

    As in DETR the queries have gathered nothing when they first look at each other, so that the first matrix
    of that attention, `decoder.0.self_attn.in_proj_weight`, never acts and its gradient is zero.

    Source: Li et al. 2021, arXiv:2104.06976, section 3, and release (two-stage, `pose_transformer`).

    Args:
        in_channels: C of the feature map.
        num_keypoints: K.
        grid_size: (h, w) of the feature map, cells.
        num_queries: N, at least K.
        dim: width E of the tokens.
        hidden: width inside each layer.
        num_layers: of the encoder and of the decoder.
        num_heads: heads of each attention.

    Raises:
        ValueError: if there are fewer queries than keypoints.
    """

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int,
        *,
        grid_size: tuple[int, int],
        num_queries: int = 100,
        dim: int = 256,
        hidden: int = 2048,
        num_layers: int = 6,
        num_heads: int = 8,
    ) -> None:
        super().__init__()
        if num_queries < num_keypoints:
            raise ValueError(f"num_queries: expected at least {num_keypoints}, got {num_queries}")
        self.grid_size = tuple(grid_size)
        self.input_proj = nn.Conv2d(in_channels, dim, kernel_size=1)
        layers = range(num_layers)
        self.encoder = nn.ModuleList(EncoderLayer(dim, num_heads, hidden=hidden) for _ in layers)
        self.decoder = nn.ModuleList(DecoderLayer(dim, num_heads, hidden=hidden) for _ in layers)
        self.norm = nn.LayerNorm(dim)
        self.query_embed = nn.Parameter(torch.randn(num_queries, dim))
        self.class_embed = nn.Linear(dim, num_keypoints + 1)
        steps = (nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 2))
        self.kpt_embed = nn.Sequential(*steps)
        self.register_buffer("positions", sine_positions(self.grid_size, dim), persistent=False)
        init_matrices(self.encoder)
        init_matrices(self.decoder)

    def forward(self, features: Tensor) -> PRTRPrediction:
        """Return the answers for a feature map [B, C, h, w].

        Raises:
            ValueError: if the grid is not the one given at construction.
        """
        check_grid(features, self.grid_size)
        memory = self.input_proj(features).flatten(2).transpose(1, 2)  # [B, h w, E]
        for layer in self.encoder:
            memory = layer(memory, self.positions)
        x = memory.new_zeros(len(memory), *self.query_embed.shape)  # [B, N, E]
        answers = []
        for layer in self.decoder:
            x = layer(x, self.query_embed, memory, self.positions)
            answers.append(self.norm(x))
        answers = torch.stack(answers, dim=1)  # [B, L, N, E]
        return PRTRPrediction(self.class_embed(answers), self.kpt_embed(answers).sigmoid())


class PRTR(Regression):
    """Poses as K of N answers: each keypoint is given the query that fits it best, all at once.

    The score is the probability of the keypoint among the K, as released.

    Source: Li et al. 2021, arXiv:2104.06976, section 3, and release.
    Differs: (1) keypoints without label are matched by class alone; the release draws them to the corner
    (0, 0) while matching. (2) A mirrored x is w - 1 - x, pixel centres being at integers, not w - x.

    Args:
        head: maps one feature map [B, C, h, w] to a `PRTRPrediction`.
        flip_permutation: K indices: where each keypoint is found in a mirrored image.
        input_size: (height, width) of the network input, pixels.
        level: which feature map the head takes; -1 is the coarsest.
        coordinate_weight: of the distance, in the loss and in the cost of a match.
        no_object_weight: of queries given to no keypoint, in the loss.
    """

    def __init__(
        self,
        head: nn.Module,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        level: int = -1,
        coordinate_weight: float = 5.0,
        no_object_weight: float = 0.1,
    ) -> None:
        super().__init__(flip_permutation, input_size=input_size, level=level)
        self.head = head
        self.coordinate_weight = coordinate_weight
        self.no_object_weight = no_object_weight

    @classmethod
    def transformer(
        cls,
        in_channels: int,
        flip_permutation: Sequence[int],
        *,
        input_size: tuple[int, int],
        feature_stride: int = 32,
        **head_options: int,
    ) -> "PRTR":
        """Build PRTR on the coarsest feature map of a backbone; the defaults are the published sizes.

        Args:
            in_channels: channels of that map.
            flip_permutation: K indices; their number is the number of keypoints.
            input_size: (height, width) of the network input, pixels.
            feature_stride: input pixels a cell of the feature map.
            **head_options: sizes of `PRTRHead`.

        Raises:
            ValueError: if the input size is no multiple of the feature stride.
        """
        grid_size = feature_grid(input_size, feature_stride)
        head = PRTRHead(in_channels, len(flip_permutation), grid_size=grid_size, **head_options)
        return cls(head, flip_permutation, input_size=input_size)

    def forward(self, features: list[Tensor]) -> PRTRPrediction:
        """Return the answers from the feature map this representation takes."""
        return self.head(features[self.level])

    def loss(self, prediction: PRTRPrediction, target: RegressionTarget) -> dict[str, Tensor]:
        """Return "classes" and the weighted "coordinates", each summed over the decoder layers."""
        classes, coordinates = [], []
        for logits, points in zip(*(part.unbind(dim=1) for part in prediction), strict=True):
            queries = self._match(logits, points, target)
            weight = {"no_object_weight": self.no_object_weight}
            entropy, distance = set_prediction(logits, points, queries, *target, **weight)
            classes.append(entropy)
            coordinates.append(distance)
        return {"classes": sum(classes), "coordinates": self.coordinate_weight * sum(coordinates)}

    def decode(self, prediction: PRTRPrediction) -> Keypoints:
        """Return keypoints [B, K, 2] in input pixels, of the last decoder layer, with their probabilities."""
        probability, coordinates, _ = self._answers(prediction)
        scores = probability.diagonal(dim1=1, dim2=2)  # [B, K]
        return super().decode(RegressionPrediction(coordinates, torch.zeros_like(coordinates), scores))

    def merge_flipped(self, prediction: PRTRPrediction, flipped: PRTRPrediction) -> PRTRPrediction:
        """Return K answers, query k for keypoint k, with the means of both images' answers for it.

        Matched are queries to keypoints in each image alone. What is best in both is best in their mean, so
        decoding the result gives keypoint k its query k.
        """
        upright = self._answers(prediction)
        probability, coordinates, no_object = self._answers(flipped)
        probability = probability[:, self.flip_index][:, :, self.flip_index]
        mirrored = (
            probability,
            self.mirror(coordinates)[:, self.flip_index],
            no_object[:, self.flip_index],
        )
        probability, coordinates, no_object = (
            (here + there) / 2 for here, there in zip(upright, mirrored, strict=True)
        )
        all_classes = torch.cat((probability * (1 - no_object), no_object), dim=-1)  # [B, K, K + 1]
        logits = all_classes.clamp(min=1e-12).log()
        return PRTRPrediction(logits.unsqueeze(1), coordinates.unsqueeze(1))

    def _answers(self, prediction: PRTRPrediction) -> tuple[Tensor, Tensor, Tensor]:
        """Return the last layer's answers of the queries matched to the keypoints.

        Returns:
            Probabilities [B, K, K] among the keypoints, query of keypoint k in row k; coordinates [B, K, 2];
            and the probability [B, K, 1] of being none.
        """
        logits, coordinates = prediction.logits[:, -1].float(), prediction.coordinates[:, -1].float()
        probability = logits[..., :-1].softmax(dim=-1)  # [B, N, K]
        rows = _assign(-probability).unsqueeze(-1)  # [B, K, 1]
        K = rows.shape[1]
        chosen = probability.gather(1, rows.expand(-1, -1, K))
        no_object = logits.softmax(dim=-1)[..., -1:].gather(1, rows)
        return chosen, coordinates.gather(1, rows.expand(-1, -1, 2)), no_object

    @torch.no_grad()
    def _match(self, logits: Tensor, coordinates: Tensor, target: RegressionTarget) -> Tensor:
        """Return the query [B, K] of each keypoint that makes the sum of costs smallest."""
        reference = torch.where(target.labelled.unsqueeze(-1), target.coordinates, 0.0)
        distance = torch.cdist(coordinates.float(), reference, p=1)  # [B, N, K]
        distance = distance * target.labelled.unsqueeze(1)
        return _assign(self.coordinate_weight * distance - logits.float().softmax(dim=-1)[..., :-1])


def _assign(cost: Tensor) -> Tensor:
    """Return the row [B, K] given to each column of cost matrices [B, N, K], no row twice.

    Raises:
        ValueError: if a cost is not a number.
    """
    matrices = cost.detach().transpose(1, 2).cpu().numpy()  # [B, K, N]
    if not np.isfinite(matrices).all():
        raise ValueError("expected finite costs to match queries to keypoints, got nan or inf")
    rows = np.stack([linear_sum_assignment(matrix)[1] for matrix in matrices])
    return torch.from_numpy(rows).to(cost.device)
