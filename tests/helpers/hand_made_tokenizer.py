"""A tokenizer whose every effect is known: each token shifts its own joints along x by its entry's value."""

import torch
from torch import nn

from pctlib.models.codebook import Codebook


class HandMadeTokenizer(nn.Module):
    """Decode codes [B, M, 1] to keypoints [B, K, 2]: joint k is at `pose[k]` plus the values of its tokens.

    Args:
        moves: [M, K] bool, which joints each token shifts.
        values: [V] the entries.
        pose: [K, 2].
    """

    num_dims = 2

    def __init__(self, moves, values, pose=None):
        super().__init__()
        self.moves = torch.as_tensor(moves, dtype=torch.float32)
        K = self.moves.shape[1]
        self.pose = torch.zeros(K, 2) if pose is None else torch.as_tensor(pose, dtype=torch.float32)
        self.codebook = Codebook(len(values), 1)
        self.codebook.codebook.copy_(torch.tensor(values).unsqueeze(1))

    def decode(self, codes):
        shift = codes.squeeze(-1) @ self.moves  # [B, K]
        return self.pose + torch.stack([shift, torch.zeros_like(shift)], dim=-1)
