"""What one stage, component tokens, crops of features and decoders buy, at equal encoder and people."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pctlib.body_model import rotation_matrix
from pctlib.data.bodies import Bodies
from pctlib.data.procedural.bodies import read_bodies
from pctlib.io import existing_file, write_atomic
from pctlib.metrics.mesh import mean_errors, mesh_errors
from pctlib.models.osx.body import osx_order
from pctlib.models.osx.others import ENLARGED
from pctlib.models.osx.size import OSXSize
from pctlib.models.osx.terms import LossOptions
from pctlib.profiles.pages import MeshProfile
from pctlib.profiles.profile import Profile
from pctlib.rotations import rotation_to_6d
from pctlib.study.crops import CropCache
from pctlib.study.page import OpenPage
from pctlib.study.pages.mesh.finder import MeshFinder
from pctlib.study.pages.mesh.networks import Body, build_mesh_network, osx_size, study_body
from pctlib.study.pages.mesh.task import BodyCrops, Found, MeshTask, find_meshes, true_meshes
from pctlib.study.pages.mesh.trainings import AXIS_ANGLE, CROPS
from pctlib.study.people import Splits, first_people, make_people
from pctlib.study.runs import RunDescription, load_run, save_run
from pctlib.study.variants import check_variant
from pctlib.training.loop import train

MEAN, MEAN_TURNED = "mean body", "mean body, true root"
FLOORS = (MEAN, MEAN_TURNED)
ERRORS = "errors.npz"
TRUE_BOXES = ", true boxes"  # behind the name of a variant: measured once more


@dataclass
class MeshStudy:
    """Trains the variants of one study; its crops are decoded once for all of them.

    Attributes:
        profile: of the study, with the section "mesh".
        splits: training and validation people.
        bodies: of the training and of the validation people.
        body: the body model.
        progress: show progress bars.
    """

    profile: Profile
    splits: Splits
    bodies: tuple[Bodies, Bodies]
    body: Body
    progress: bool = True
    _crops: dict[tuple[bool, int], BodyCrops] = field(default_factory=dict)

    group = ""

    @classmethod
    def of(cls, page: OpenPage) -> "MeshStudy":
        """Return the study of a page.

        Raises:
            ValueError: if nothing is known of the bodies of the study's people.
            FileNotFoundError: if a licensed file is missing.
        """
        body = study_body(page.section)
        if page.layout.dataset != "procedural":
            raise ValueError(
                f"page mesh: data set '{page.layout.dataset}' has no bodies; expected procedural people"
            )
        folder = make_people(page.settings)
        bodies = tuple(read_bodies(folder, split, body=body.model) for split in ("train", "val"))
        return cls(page.settings, page.splits, bodies, body)

    @property
    def section(self) -> MeshProfile:
        """The part of the profile."""
        return self.profile.mesh

    @property
    def variants(self) -> tuple[str, ...]:
        """Those of the profile."""
        return self.section.variants

    @cached_property
    def size(self) -> OSXSize:
        """Of the networks."""
        return osx_size(self.section)

    def crops(self, *, training: bool, variant: str = "") -> BodyCrops:
        """Return the crops of the training or validation people, as a variant takes them."""
        scale = ENLARGED if variant == CROPS else 1
        if (training, scale) not in self._crops:
            people = (
                first_people(self.splits, self.section.train_people).train if training else self.splits.val
            )
            height, width = self.section.input_size
            size = (scale * height, scale * width)
            crops = CropCache(self.profile).cut(people, size, training=training)
            bodies = self.bodies[0 if training else 1]
            self._crops[training, scale] = BodyCrops(crops, bodies, self.body, self.size)
        return self._crops[training, scale]

    def build(self, variant: str, seed: int) -> nn.Module:
        """Return an untrained network that begins near the mean pose of the training people.

        The mean of right hands stands for both; that of the root is a half turn: upright, before the camera.
        """
        network = build_mesh_network(variant, self.section, self.body, seed=seed)
        bodies = self.crops(training=True, variant=variant).bodies
        mean = osx_order(rotation_matrix(bodies.pose).mean(0)[None])[0]  # [53, 3, 3], no rotations any more
        mean[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        network.start_at(rotation_to_6d(mean))
        return network

    def task(self, variant: str, model: nn.Module) -> MeshTask:
        """Return what a network learns; faces are looked for in their boxes, where they are cut out."""
        root = "axis-angle" if variant == AXIS_ANGLE else "matrix"
        return MeshTask(
            model,
            self.crops(training=True, variant=variant),
            val_crops=self.crops(training=False, variant=variant),
            augmentation=self.section.augmentation,
            options=LossOptions(root=root, face_targets="in the box"),
            joint_weight=self.section.joint_weight,
            boxes_given=variant == CROPS,
            identity={"variant": variant, "size": self._identity()},
        )

    def _identity(self) -> dict[str, Any]:
        left_out = {"training", "variants", "train_people"}
        return self.section.model_dump(mode="json", exclude=left_out)

    def __call__(self, variant: str, seed: int, folder: Path) -> dict[str, Any]:
        """Train one variant and return its metrics; `errors.npz` has them for each person."""
        check_variant(variant, self.variants)
        model = self.build(variant, seed).to(memory_format=torch.channels_last)
        result = train(
            self.task(variant, model),
            self.section.training,
            out_dir=folder,
            seed=seed,
            device=self.profile.device,
            progress=self.progress,
        )
        crops = self.crops(training=False, variant=variant).crops
        sizes = {"variant": variant, "section": self.section.model_dump(mode="json")}
        save_run(folder, result.model, RunDescription.of_crops("mesh", crops, sizes))
        found = self.find(variant, result.model)
        boxed = self.find(variant, result.model, boxes_given=True) if self.takes_boxes(variant) else None
        errors = found.errors | (
            {} if boxed is None else {f"{n}{TRUE_BOXES}": v for n, v in boxed.errors.items()}
        )
        save_errors(folder / ERRORS, errors)
        return mean_errors(errors) | {"training seconds": result.seconds}

    def takes_boxes(self, variant: str) -> bool:
        """Whether a variant cuts hands or face out."""
        return variant == CROPS or variant.startswith("OSX")

    def find(self, variant: str, model: nn.Module, *, boxes_given: bool = False) -> Found:
        """Return what a trained network finds of the validation people."""
        return find_meshes(model.eval(), self.crops(training=False, variant=variant), boxes_given=boxes_given)

    def load(self, folder: Path) -> nn.Module:
        """Return a trained network, on the CPU in eval mode.

        Raises:
            FileNotFoundError: if it is not trained.
            ValueError: if its weights are of another size.
        """
        return load_run(folder)

    def truth(self) -> np.ndarray:
        """Return the true meshes [N, V, 3] of the validation people in their crops, metres."""
        crops = self.crops(training=False)
        return np.concatenate(
            [true_meshes(crops, rows, inputs.affine) for rows, inputs in crops.in_order(torch.device("cpu"))]
        )

    def floors(self) -> dict[str, dict[str, np.ndarray]]:
        """Return errors [N] of the mean body of the training people, as it is and with the true root.

        The mean is over meshes about the pelvis: in the camera's frame for the first, turned back by the root
        for the second. No network stands behind either.
        """
        train, val = (
            self.bodies[0].of(self.crops(training=True).crops.people.annotation_ids),
            self.crops(training=False),
        )
        turns = _roots(val)
        truth, found = self.truth(), {}
        for name, upright in ((MEAN, False), (MEAN_TURNED, True)):
            mean = self._mean_mesh(train, upright=upright)
            meshes = mean @ turns.transpose(0, 2, 1) if upright else np.repeat(mean[None], len(truth), axis=0)
            found[name] = mesh_errors(meshes, truth, self.body.parts)
        return found

    @torch.inference_mode()
    def _mean_mesh(self, bodies: Bodies, *, upright: bool) -> np.ndarray:
        """Return the mean mesh [V, 3] about the pelvis, metres."""
        regressor = self.body.model.joint_regressor[0].cpu()
        total = torch.zeros(self.body.model.template.shape)
        model = self.body.model.cpu()
        for rows in torch.arange(len(bodies)).split(256):
            part = bodies.select(rows)
            if upright:
                part.pose[:, 0] = 0
            vertices = part.vertices(model, torch.arange(len(rows)))
            total += (vertices - torch.einsum("v,nvd->nd", regressor, vertices)[:, None]).sum(0)
        return (total / len(bodies)).numpy()


def build_run(run: RunDescription) -> nn.Module:
    """Return the untrained network of a run."""
    section = MeshProfile(**run.sizes["section"])
    return build_mesh_network(run.sizes["variant"], section, study_body(section), seed=0)


def finder_3d(run: RunDescription, model: nn.Module) -> MeshFinder:
    """Return what finds people in images by the network of a run."""
    section = MeshProfile(**run.sizes["section"])
    enlarged = run.input_size[0] // section.input_height
    return MeshFinder(model, study_body(section), run.skeleton, section=section, enlarged=enlarged)


def _roots(crops: BodyCrops) -> np.ndarray:
    """Return the true root rotations [N, 3, 3] in the crops."""
    turned = [
        crops.bodies.select(rows).follow(inputs.affine).pose[:, 0]
        for rows, inputs in crops.in_order(torch.device("cpu"))
    ]
    return rotation_matrix(torch.cat(turned)).numpy()


def save_errors(path: Path, errors: Mapping[str, np.ndarray]) -> None:
    """Write the errors of each person, as npz."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: values.astype(np.float32) for name, values in errors.items()})
    write_atomic(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def load_errors(path: Path) -> dict[str, np.ndarray]:
    """Read the errors [N] of each person.

    Raises:
        FileNotFoundError: if the training was never measured.
    """
    with np.load(existing_file(path), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
