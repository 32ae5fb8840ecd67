"""Learning meshes from augmented crops, and finding those of people."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pctlib.body_model import rotation_matrix
from pctlib.data.augmentation import Inputs
from pctlib.data.bodies import Bodies, joints_in_crop
from pctlib.data.images import IMAGENET_MEAN, IMAGENET_STD
from pctlib.metrics.mesh import box_iou, mean_errors, mesh_errors
from pctlib.models.osx.body import posed_body, predicted_joints
from pctlib.models.osx.network import MeshPrediction
from pctlib.models.osx.size import OSXSize
from pctlib.models.osx.targets import mesh_target, true_boxes
from pctlib.models.osx.terms import LossOptions, MeshTarget, osx_losses
from pctlib.profiles.sections import AugmentationProfile
from pctlib.rotations import geodesic_deg
from pctlib.study.crops import Crops
from pctlib.study.pages.mesh.networks import Body
from pctlib.training.fingerprint import fingerprint
from pctlib.training.plan import Step

_WEIGHED = ("pose", "joints_3d", "fitted_joints_3d")  # what a short training learns first
_JITTER = 0.1  # of a training box's side, for networks that take boxes from elsewhere
PARTS = ("left hand", "right hand", "face")


class MeshBatch(NamedTuple):
    """Images [B, 3, H, W] RGB in 0 to 1, what is true of them, and true boxes [B, 3, 4], input pixels."""

    images: Tensor
    target: MeshTarget
    boxes: Tensor


class BodyCrops:
    """Crops of people whose bodies are known.

    Args:
        crops: of N people.
        bodies: theirs, row by row.
        body: the body model.
        size: of the networks; crops may be a whole number of times as large as its input.
    """

    def __init__(self, crops: Crops, bodies: Bodies, body: Body, size: OSXSize) -> None:
        self.crops, self.bodies, self.body, self.size = (
            crops,
            bodies.of(crops.people.annotation_ids),
            body,
            size,
        )
        self.joints = self.bodies.joints(body.joints)  # [N, 144, 3]
        self.enlarged = crops.profile.crop.input_size[0] // size.input_size[0]

    def __len__(self) -> int:
        return len(self.crops)

    def batches(
        self,
        rows: Sequence[Tensor],
        device: torch.device,
        *,
        augmentation: AugmentationProfile | None = None,
        generators: Sequence[torch.Generator] = (),
    ) -> Iterator[MeshBatch]:
        """Yield the batch of each list of rows; arguments as of `Crops.inputs`."""
        found = self.crops.inputs(rows, device, augmentation=augmentation, generators=generators)
        for index, inputs in zip(rows, found, strict=True):
            yield self.batch(index, inputs)

    def batch(self, rows: Tensor, inputs: Inputs) -> MeshBatch:
        """Return what is true of some people in their crops."""
        images = inputs.images
        mean, std = (images.new_tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
        bodies = self.bodies.select(rows).to(images.device)
        moved = bodies.follow(inputs.affine)
        joints, pixels = joints_in_crop(bodies, self.joints[rows].to(images.device), inputs.affine)
        pixels = pixels / self.enlarged
        target = mesh_target(
            moved.pose,
            moved.shape,
            moved.expression,
            joints,
            pixels,
            self.size,
            pose_known=moved.pose_known,
            shape_known=moved.shape_known,
            expression_known=moved.expression_known,
        )
        return MeshBatch((images * std + mean).clamp(0, 1), target, true_boxes(pixels))

    def in_order(self, device: torch.device, *, batch_size: int = 64) -> Iterator[tuple[Tensor, Inputs]]:
        """Yield rows and plain inputs of all people."""
        rows = torch.arange(len(self)).split(batch_size)
        yield from zip(rows, self.crops.inputs(rows, device), strict=True)


class MeshTask:
    """Learn a network of meshes.

    Args:
        model: takes images and boxes, gives a `MeshPrediction`.
        train_crops: people to learn from.
        val_crops: people to measure on.
        augmentation: random changes of the training crops.
        options: of the losses.
        joint_weight: of pose and 3D joints among the losses; 1 as published.
        boxes_given: train with jittered true boxes, as networks do that take boxes from elsewhere.
        identity: JSON values that tell this run from others.
    """

    def __init__(
        self,
        model: nn.Module,
        train_crops: BodyCrops,
        *,
        val_crops: BodyCrops,
        augmentation: AugmentationProfile,
        options: LossOptions,
        joint_weight: float,
        boxes_given: bool,
        identity: dict[str, Any],
    ) -> None:
        self.model, self.train_crops, self.val_crops = model, train_crops, val_crops
        self.augmentation, self.options, self.boxes_given = augmentation, options, boxes_given
        self.joint_weight = joint_weight
        self.num_samples = len(train_crops)
        self.light = copy.deepcopy(train_crops.body.joints)  # goes to the device; the other stays
        data = fingerprint(train_crops.joints, train_crops.bodies.shape)
        self.identity = {**identity, "data": data, "joint_weight": joint_weight, "options": vars(options)}

    def batches(self, steps: Sequence[Step], device: torch.device) -> Iterator[MeshBatch]:
        """Yield augmented inputs and their targets."""
        self.light = self.light.to(device)
        rows = [step.local_indices for step in steps]
        draws = [step.generator(shared=False) for step in steps]
        found = self.train_crops.batches(rows, device, augmentation=self.augmentation, generators=draws)
        for step, batch in zip(steps, found, strict=True):
            yield batch._replace(boxes=_jittered(batch.boxes, step.generator(shared=False)))

    def loss(self, model: nn.Module, batch: MeshBatch) -> tuple[dict[str, Tensor], None]:
        """Return the terms of the network's loss."""
        prediction = model(batch.images, batch.boxes if self.boxes_given else None)
        joints = predicted_joints(self.light, prediction)
        terms = osx_losses(prediction, joints, batch.target, self.train_crops.size, self.options)
        return {
            name: self.joint_weight * value if name in _WEIGHED else value for name, value in terms.items()
        }, None

    def after_step(self, model: nn.Module, step: Step, extra: None) -> None:
        """Do nothing."""

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return the errors of the validation people."""
        return mean_errors(find_meshes(model, self.val_crops).errors)


def _jittered(boxes: Tensor, generator: torch.Generator) -> Tensor:
    """Return boxes [B, 3, 4] moved by up to a tenth of their side."""
    move = torch.rand(*boxes.shape[:2], 2, generator=generator).to(boxes) * 2 - 1
    side = (boxes[..., 2:] - boxes[..., :2]) * _JITTER
    return boxes + (move * side).repeat(1, 1, 2)


class Found(NamedTuple):
    """What a network found of N people.

    Attributes:
        errors: column -> [N] millimetres, "box IoU" in 0 to 1, "root" in degrees.
        vertices: [N, V, 3] metres, before the camera's translation; float32.
        camera: [N, 3] metres.
        boxes: [N, 3, 4] pixels of the input; NaN where the network has none.
    """

    errors: dict[str, np.ndarray]
    vertices: np.ndarray
    camera: np.ndarray
    boxes: np.ndarray


@torch.inference_mode()
def find_meshes(model: nn.Module, crops: BodyCrops, *, boxes_given: bool = False) -> Found:
    """Return the meshes that a network finds, and their errors.

    Args:
        model: in eval mode.
        crops: of N people.
        boxes_given: with the true boxes.
    """
    device = next(model.parameters()).device
    body = crops.body.model.to(device)
    parts: list[tuple[np.ndarray, ...]] = []
    errors: list[dict[str, np.ndarray]] = []
    for rows, inputs in crops.in_order(device):
        batch = crops.batch(rows, inputs)
        found = model(batch.images, batch.boxes if boxes_given else None)
        vertices = posed_body(body, found).vertices.cpu().numpy()
        truth = true_meshes(crops, rows, inputs.affine)
        errors.append(_errors(found, batch, vertices, truth, crops))
        boxes = torch.full((len(rows), 3, 4), torch.nan) if found.boxes is None else found.boxes
        parts.append((vertices, found.camera.cpu().numpy(), boxes.cpu().numpy()))
    columns = {name: np.concatenate([part[name] for part in errors]) for name in errors[0]}
    return Found(columns, *(np.concatenate(column) for column in zip(*parts, strict=True)))


@torch.inference_mode()
def true_meshes(crops: BodyCrops, rows: Tensor, affine: Tensor) -> np.ndarray:
    """Return the true meshes [n, V, 3] as the crops show them, without clothes; any origin, metres."""
    bodies = crops.bodies.select(rows).to(affine.device).follow(affine)
    everyone = torch.arange(len(rows), device=affine.device)
    return bodies.vertices(crops.body.model.to(affine.device), everyone).cpu().numpy()


def _errors(
    found: MeshPrediction, batch: MeshBatch, vertices: np.ndarray, truth: np.ndarray, crops: BodyCrops
) -> dict[str, np.ndarray]:
    errors = mesh_errors(vertices, truth, crops.body.parts)
    root = batch.target.pose[:, :3]
    errors["root"] = geodesic_deg(found.root[:, 0], rotation_matrix(root)).cpu().numpy()
    overlap = np.full((len(vertices), 3), np.nan)
    if found.boxes is not None:
        known = batch.target.box_valid.cpu().numpy() > 0
        overlap = np.where(known, box_iou(found.boxes.cpu().numpy(), batch.boxes.cpu().numpy()), np.nan)
    return errors | {f"IoU {part}": overlap[:, i] for i, part in enumerate(PARTS)}
