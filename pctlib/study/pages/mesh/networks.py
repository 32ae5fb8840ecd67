"""The networks of the mesh page, built from the values of a profile."""

from dataclasses import dataclass

import torch
from torch import nn

from pctlib.body_joints import BodyJoints
from pctlib.body_model import BodyModel
from pctlib.checkpoints.osx import load_encoder
from pctlib.data.images import IMAGENET_MEAN, IMAGENET_STD
from pctlib.data.procedural.body import build_body
from pctlib.io import existing_file
from pctlib.metrics.mesh import MeshParts
from pctlib.metrics.mesh_parts import embedded_parts, smplx_parts
from pctlib.models.backbones import Backbone
from pctlib.models.deformable import DecoderSize
from pctlib.models.osx.network import OSX
from pctlib.models.osx.others import GlobalRegressor, PartNet, SeparateCrops
from pctlib.models.osx.parts import BackboneEncoder, Encoder
from pctlib.models.osx.size import OSXSize, Variant
from pctlib.models.vit import ViTSize
from pctlib.profiles.pages import MeshProfile
from pctlib.study.pages.mesh.trainings import (
    AXIS_ANGLE,
    CROPS,
    FULL,
    GLOBAL,
    TOKENS,
    WITHOUT_DECODER,
    WITHOUT_FACE,
)
from pctlib.training.plan import mix_seed
from pctlib.training.shipped import starting_backbone

_VARIANTS: dict[str, Variant] = {
    TOKENS: "tokens",
    AXIS_ANGLE: "tokens",
    WITHOUT_DECODER: "wo_decoder",
    WITHOUT_FACE: "wo_face_decoder",
    FULL: "full",
}


@dataclass(frozen=True)
class Body:
    """The body model of a study, on the CPU, and its parts for the metrics."""

    model: BodyModel
    joints: BodyJoints
    parts: MeshParts


def study_body(section: MeshProfile) -> Body:
    """Return the embedded body, or SMPL-X from the user's licensed files.

    Raises:
        FileNotFoundError: if a file is missing; says which and what it is.
        ValueError: if one is malformed.
    """
    if section.body_model is None:
        model = BodyModel(build_body(), flat_hand=True, source="embedded body")
        return Body(model, BodyJoints(model), embedded_parts())
    try:
        existing_file(section.body_model)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"mesh.body_model: {error}; it is SMPLX_NEUTRAL.npz of the licensed SMPL-X, which no package may "
            "ship; null stands for the embedded body"
        ) from error
    model = BodyModel.from_npz(section.body_model)
    return Body(model, BodyJoints(model), smplx_parts(model, section.body_parts))


def osx_size(section: MeshProfile) -> OSXSize:
    """Return the size of the models of a profile."""
    decoder = DecoderSize(**section.decoder.model_dump())
    return OSXSize(
        ViTSize(section.dim, section.depth, section.heads, drop_path=section.drop_path),
        input_size=section.input_size,
        body_depth=section.body_depth,
        hand_cells=section.hand_cells,
        face_cells=section.face_cells,
        box_width=section.box_width,
        regressor_width=section.regressor_width,
        decoder=decoder,
    )


def build_mesh_network(variant: str, section: MeshProfile, body: Body, *, seed: int) -> nn.Module:
    """Return an untrained network; the encoder of a seed is the same in every variant.

    Raises:
        ValueError: if the encoder's weights do not fit.
    """
    size = osx_size(section)
    torch.manual_seed(mix_seed(seed, "mesh: encoder"))
    encoder = Encoder(size) if section.backbone is None else BackboneEncoder(size, _backbone(section))
    torch.manual_seed(mix_seed(seed, "mesh: other parts"))
    if variant == GLOBAL:
        network: nn.Module = GlobalRegressor(size, encoder)
    elif variant == CROPS:
        network = _separate_crops(OSX(size, "tokens", encoder=encoder), section, body, seed)
    else:
        network = OSX(size, _VARIANTS[variant], encoder=encoder)
    if section.encoder_weights:
        load_encoder(network.body if variant == CROPS else network, section.encoder_weights)
    return network


def _separate_crops(whole: OSX, section: MeshProfile, body: Body, seed: int) -> SeparateCrops:
    torch.manual_seed(mix_seed(seed, "mesh: networks of the parts"))
    hands, face = (PartNet(_part_backbone(section), outputs) for outputs in (90, 16))
    return SeparateCrops(whole, hands, face, BodyJoints(body.model))


class _FromZeroToOne(nn.Module):
    """A backbone that takes RGB in 0 to 1."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.channels = backbone, backbone.channels

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        mean, std = (images.new_tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
        return self.backbone((images - mean) / std)


def _part_backbone(section: MeshProfile) -> nn.Module:
    """Return a backbone of its own for hands or face: a convolutional one also beside a plain transformer."""
    if section.backbone is None:
        return _FromZeroToOne(Backbone("resnet50"))
    return _FromZeroToOne(_backbone(section))


def _backbone(section: MeshProfile) -> Backbone:
    chosen = section.backbone
    return starting_backbone(
        chosen.name,
        section.input_size,
        weights=chosen.weights,
        out_indices=None if chosen.stages is None else range(chosen.stages),
        final_norm=chosen.final_norm,
    )
