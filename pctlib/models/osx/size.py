"""Sizes and variants of OSX."""

from dataclasses import dataclass, field
from typing import Literal

from pctlib.models.deformable import DecoderSize
from pctlib.models.representations.base import feature_grid
from pctlib.models.vit import PATCH, SIZES, ViTSize

Variant = Literal["full", "wo_face_decoder", "wo_decoder", "tokens"]
# Places of the task tokens in front of the patches; the hands' two are read by "tokens" alone
SHAPE_TOKEN, CAMERA_TOKEN, EXPRESSION_TOKEN, JAW_TOKEN = range(4)
HAND_TOKENS, BODY_TOKENS = slice(4, 6), slice(6, 31)
NUM_TOKENS = 31
NUM_BODY, NUM_HAND, NUM_FACE = 25, 20, 72  # joints with a place in the body, in each hand, in the face
NUM_BODY_ROTATIONS, NUM_HAND_ROTATIONS = 21, 15
FOCAL_LENGTH = 5000.0  # of the virtual camera, pixels of the network's input
CAMERA_EXTENT = 2.5  # metres; a body of this extent fills the input half way along the range of depths
HAND_MARGIN, FACE_MARGIN = 2.0, 1.5


@dataclass(frozen=True)
class OSXSize:
    """Widths, depths and volumes; the defaults are the published ones.

    Attributes:
        vit: of the encoder, C channels.
        input_size: (height, width) pixels, multiples of 16.
        body_depth: cells along z of the body's volume; along y and x it has the encoder's grid.
        hand_cells: side of a hand's volume.
        face_cells: side of the face's volume.
        box_width: channels of the box net.
        regressor_width: of a joint's features before the regressors' last layer.
        decoder: of both deformable decoders.
    """

    vit: ViTSize
    input_size: tuple[int, int] = (256, 192)
    body_depth: int = 16
    hand_cells: int = 16
    face_cells: int = 8
    box_width: int = 256
    regressor_width: int = 512
    decoder: DecoderSize = field(default_factory=DecoderSize)

    def __post_init__(self) -> None:
        if self.vit.channels % 4:
            raise ValueError(f"vit: expected channels that 4 divides, got {self.vit.channels}")
        for name in ("body_depth", "hand_cells", "face_cells", "box_width", "regressor_width"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}: expected at least 2, got {getattr(self, name)}")
        if self.hand_cells % 2 or self.face_cells % 2:
            raise ValueError(
                f"hand_cells, face_cells: expected even numbers, got {self.hand_cells}, {self.face_cells}"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) cells of the encoder's map."""
        return feature_grid(self.input_size, PATCH)

    @property
    def body_volume(self) -> tuple[int, int, int]:
        """(depth, h, w) cells."""
        return (self.body_depth, *self.grid)


PUBLISHED = {name: OSXSize(SIZES[name]) for name in ("b", "l")}
