"""Networks as ONNX files that say themselves what they need: keypoints, input, normalisation, decoding."""

import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pctlib import __version__
from pctlib.data.images import IMAGENET_MEAN, IMAGENET_STD
from pctlib.io import write_atomic
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.heatmap import Heatmap
from pctlib.models.representations.simcc import SimCC
from pctlib.skeleton_files import describe_skeleton
from pctlib.skeletons import Skeleton

OPSET = 18
_ONE_FILE = 1_900_000_000  # bytes: one file holds at most 2 GiB, larger weights lie beside it


class ExportedForward(nn.Module):
    """What runs in the file: normalised images [B, 3, H, W] to the outputs that `output_names` lists.

    SimCC without refinement gives its two vectors, as the field's tools read RTMPose; heatmaps come with the
    keypoints read from them, as ViTPose's; all others give keypoints and scores.
    """

    def __init__(self, model: PoseEstimator, *, flip_test: bool = False) -> None:
        super().__init__()
        self.model, self.flip_test = model, flip_test

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs."""
        representation = self.model.representation
        prediction = self.model.merged(images) if self.flip_test else self.model(images)
        if decoding_of(representation) == "simcc":
            return prediction.x, prediction.y
        found = representation.decode(prediction)
        poses = (found.keypoints, representation.joint_scores(prediction, found))
        return (prediction.heatmaps, *poses) if isinstance(representation, Heatmap) else poses


def decoding_of(representation: nn.Module) -> str:
    """Return "simcc" where the outputs are vectors that are still to be read, else "keypoints"."""
    return "simcc" if isinstance(representation, SimCC) and not representation.coding.dark else "keypoints"


def output_names(representation: nn.Module) -> list[str]:
    """Return the names of the outputs, in order; the vectors' are those of mmdeploy."""
    if decoding_of(representation) == "simcc":
        return ["simcc_x", "simcc_y"]
    return [*(["heatmaps"] if isinstance(representation, Heatmap) else []), "keypoints", "scores"]


def export_onnx(
    model: PoseEstimator,
    file: str | Path,
    *,
    skeleton: Skeleton,
    input_size: tuple[int, int],
    padding: float = 1.25,
    udp: bool = False,
    flip_test: bool = False,
) -> Path:
    """Write an estimator as an ONNX file for any number of crops.

    Input "images" [B, 3, H, W] float32: RGB 0..255, less `mean`, divided by `std` of the metadata.

    Args:
        model: in eval mode, on the CPU.
        file: where it goes; weights of more than 1.9 GB lie beside it, in `<name>.data`.
        skeleton: keypoints that it gives.
        input_size: (H, W) of the crops, pixels.
        padding: factor on the box that the crops have, as in `crop_affine`.
        udp: crops by the unbiased affine.
        flip_test: merge with the mirrored images, inside.

    Raises:
        ValueError: if the model is in training mode.
        ModuleNotFoundError: if onnx or onnxscript are not installed.
        OSError: if the file cannot be written.
    """
    if model.training:
        raise ValueError("model: is in training mode; call eval() before it is exported")
    forward = ExportedForward(model, flip_test=flip_test).eval()
    program = _program(forward, input_size, output_names(model.representation))
    described = metadata(
        model.representation, skeleton, input_size, padding=padding, udp=udp, flip_test=flip_test
    )
    program.model.metadata_props.update({key: json.dumps(value) for key, value in described.items()})
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    return _write(program, Path(file), external=size > _ONE_FILE)


def metadata(
    representation: nn.Module,
    skeleton: Skeleton,
    input_size: Sequence[int],
    *,
    padding: float,
    udp: bool,
    flip_test: bool,
) -> dict[str, Any]:
    """Return what a file says of itself, JSON values."""
    decoding = decoding_of(representation)
    bins = {"bins_per_pixel": representation.coding.bins_per_pixel} if decoding == "simcc" else {}
    return {
        "producer": f"pctlib {__version__}",
        "skeleton": describe_skeleton(skeleton),
        "input_size": list(input_size),
        "color": "RGB",
        "mean": [255 * value for value in IMAGENET_MEAN],
        "std": [255 * value for value in IMAGENET_STD],
        "decoding": decoding,
        **bins,
        "padding": padding,
        "udp": udp,
        "flip_test": flip_test,
    }


def _program(forward: ExportedForward, input_size: tuple[int, int], names: list[str]) -> Any:
    try:
        import onnxscript  # noqa: F401, torch's exporter needs it and says so less clearly
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("export needs onnx and onnxscript: pip install 'pctlib[onnx]'") from error
    images = torch.zeros(2, 3, *input_size)  # of two: one would be taken for a fixed size
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            forward,
            (images,),
            input_names=["images"],
            output_names=names,
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )


def _write(program: Any, file: Path, *, external: bool) -> Path:
    if not external:
        return write_atomic(file, lambda temporary: program.save(temporary))
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        program.save(Path(folder) / file.name, external_data=True)
        for written in sorted(Path(folder).iterdir(), key=lambda path: path.name == file.name):
            written.replace(file.parent / written.name)  # the model last: it is whole when it is there
    return file
