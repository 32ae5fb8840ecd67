"""`pctlib export`: weights as an ONNX file, proven and timed against the network."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pctlib.commands import app


@app.command("export")
def export(
    weights: Annotated[
        Path, typer.Argument(help="official file, folder of Hugging Face, or run folder of the study")
    ],
    out: Annotated[Path, typer.Option(help="the ONNX file")],
    crops: Annotated[
        Path | None, typer.Option(help="folder of photographs to compare on, beside random crops")
    ] = None,
    limit: Annotated[float, typer.Option(min=0, help="largest difference of keypoints, input pixels")] = 0.01,
    skeleton: Annotated[
        str,
        typer.Option(help="keypoints: coco, coco-wholebody, ..., or a YAML file; if not said, the model's"),
    ] = "",
    dataset_index: Annotated[
        int | None, typer.Option(help="which data set of a published ViTPose+; 0 is COCO")
    ] = None,
    flip_test: Annotated[bool, typer.Option("--flip-test", help="merge mirror images, inside")] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="time the compiled network too; a minute or two a batch size")
    ] = False,
    batches: Annotated[list[int] | None, typer.Option(help="numbers of crops that are timed; 1, 16")] = None,
) -> None:
    """Write an ONNX file; compare its keypoints with the network's, time both, fail where they differ.

    RTMPose, DWPose and ViTPose run in rtmlib as they are; `pctlib predict --weights FILE.onnx` runs all.
    """
    import torch

    from pctlib.inference.calibration import calibration_file
    from pctlib.inference.network import torch_network
    from pctlib.inference.onnx_export import export_onnx
    from pctlib.inference.onnx_network import load_onnxruntime, onnx_network
    from pctlib.inference.parity import crops_to_compare, milliseconds
    from pctlib.io import write_text
    from pctlib.skeleton_files import choose_skeleton
    from pctlib.skeletons import COCO
    from pctlib.study.methods import load_any

    load_onnxruntime()  # what is missing is said before a file is written that nothing proves
    given = choose_skeleton(skeleton) if skeleton else None
    trained = load_any(weights, dataset_index=dataset_index, skeleton=given)
    chosen, shape = trained.skeleton or COCO, {"padding": trained.padding, "udp": trained.udp}
    size = trained.input_size
    cpu = {"device": torch.device("cpu"), "flip_test": flip_test}
    forms = {"torch": torch_network(trained, chosen, **cpu)}
    kinds = crops_to_compare(forms["torch"], crops)
    export_onnx(trained.model, out, skeleton=chosen, input_size=size, flip_test=flip_test, **shape)
    forms["onnxruntime"] = onnx_network(out, threads=torch.get_num_threads())
    calibration = calibration_file(weights)
    if calibration.is_file():
        write_text(calibration_file(out), calibration.read_text(encoding="utf-8"))
    differs = _prove(forms, kinds, limit)
    if compiled:
        forms["torch, compiled"] = torch_network(trained, chosen, compiled=True, **cpu)
    for name, times in milliseconds(forms, batches or [1, 16]).items():
        typer.echo(
            f"{name}: " + ", ".join(f"{ms:.1f} ms a crop in batches of {n}" for n, ms in times.items())
        )
    typer.echo(f"written: {out}")
    if differs:
        raise ValueError(f"{out}: differs from the network by more than {limit} px; see above")


def _prove(forms: dict[str, Any], kinds: dict[str, Any], limit: float) -> bool:
    """Say how far keypoints differ on each kind of crops, and return whether too far."""
    from pctlib.inference.parity import compare

    too_far = False
    for kind, crops in kinds.items():
        found = compare(forms["torch"], forms["onnxruntime"], crops, limit=limit)
        too_far |= found.largest > limit
        typer.echo(
            f"{kind}: keypoints differ by at most {found.largest:.2g} px, scores by {found.score:.2g}; "
            f"{found.undecided} of {found.keypoints} keypoints are decided by rounding alone"
        )
    return too_far
