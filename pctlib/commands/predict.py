"""`pctlib predict`: poses in photographs and videos, or in the annotated boxes of a benchmark."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pctlib.commands import app


@app.command("predict")
def predict(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="photographs, folders, patterns, videos; with --annotations: the weights",
            metavar="INPUTS...",
        ),
    ],
    out: Annotated[Path, typer.Option(help="folder of the results; with --annotations: the results, JSON")],
    weights: Annotated[
        Path | None,
        typer.Option(help="official file, folder of Hugging Face, run folder of the study, or ONNX file"),
    ] = None,
    annotations: Annotated[Path | None, typer.Option(help="COCO JSON that names the images")] = None,
    images: Annotated[Path | None, typer.Option(help="folder of the annotated images")] = None,
    detections: Annotated[
        Path | None, typer.Option(help="with --annotations: detected boxes; the annotated ones without")
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="boxes in the photographs: COCO annotations or detections, or CSV")
    ] = None,
    whole_image: Annotated[bool, typer.Option("--whole-image", help="one person fills each picture")] = False,
    detector: Annotated[str, typer.Option(help="auto, or the name of a detector of torchvision")] = "auto",
    min_score: Annotated[
        float | None, typer.Option(help="of boxes that are used; 0.5 for a detector's, else 0")
    ] = None,
    draw: Annotated[bool, typer.Option(help="write drawn pictures and videos")] = True,
    draw_above: Annotated[float, typer.Option(help="score of joints that are drawn")] = 0.3,
    smooth: Annotated[bool, typer.Option("--smooth", help="let poses of videos tremble less")] = False,
    skeleton: Annotated[
        str,
        typer.Option(help="keypoints: coco, coco-wholebody, ..., or a YAML file; if not said, the model's"),
    ] = "",
    category: Annotated[
        str | None, typer.Option(help="name of the category of persons, where the file does not tell")
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="leave out and count annotations without a usable box")
    ] = False,
    dataset_index: Annotated[
        int | None, typer.Option(help="which data set of a published ViTPose+; 0 is COCO")
    ] = None,
    padding: Annotated[
        float | None, typer.Option(min=1, help="factor on the box; if not said, that of the model's tests")
    ] = None,
    udp: Annotated[
        bool | None, typer.Option(help="unbiased crops; if not said, for published models with UDP heatmaps")
    ] = None,
    flip_test: Annotated[
        bool | None,
        typer.Option(
            "--flip-test/--no-flip-test", help="merge with the mirrored images; if not said, for annotations"
        ),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="compile the network, a minute or two; pays from hundreds on")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="crops of a batch")] = 16,
    workers: Annotated[int, typer.Option(min=0, help="with --annotations: processes that read images")] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Find poses in photographs and videos: drawn pictures, COCO results and a table.

    With --annotations: in the annotated or detected boxes of a benchmark; `pctlib evaluate` scores the file.
    """
    from pctlib.skeleton_files import choose_skeleton

    chosen = {"skeleton": choose_skeleton(skeleton) if skeleton else None, "dataset_index": dataset_index}
    crops = {"padding": padding, "udp": udp}
    running = {"batch_size": batch_size, "device": device}
    if annotations is not None:
        if weights is not None or len(inputs) != 1 or images is None:
            raise ValueError("with --annotations: give the weights alone as argument, and --images FOLDER")
        flip = {"flip_test": flip_test is not False, "workers": workers}
        boxed = {"detections": detections, "min_score": min_score or 0.0}
        boxed |= {"category": category, "skip_broken": skip_broken}
        _annotated(inputs[0], annotations, images, out, **chosen, **boxed, **crops, **running, **flip)
        return
    if weights is None:
        raise ValueError("name the weights: --weights FILE")
    told = {key: context.params[key] for key in _TOLD}
    _photographs(
        inputs, weights, out, told, **chosen, **crops, **running, flip_test=bool(flip_test), compiled=compiled
    )


# What tells results from others, and a folder of results apart
_TOLD = (
    *("boxes", "whole_image", "detector", "min_score", "smooth", "draw", "draw_above"),
    *("skeleton", "dataset_index", "padding", "udp", "flip_test"),
)


def _photographs(inputs: list[str], weights: Path, out: Path, told: dict[str, Any], **options: Any) -> None:
    """Predict pictures and videos; `told` are the options of the command line, `options` the predictor's."""
    from pctlib.inference.boxes import BoxFile
    from pctlib.inference.folder import FolderOptions, predict_folder
    from pctlib.inference.predictor import Predictor
    from pctlib.inference.sources import find_sources

    sources = find_sources(inputs, without=out)
    least, boxes = told["min_score"], told["boxes"]
    settings = {key: str(value) for key, value in told.items() if value is not None}
    how = FolderOptions(
        boxes=None if boxes is None else BoxFile(boxes, min_score=least or 0.0),
        whole=told["whole_image"],
        draw=told["draw"],
        min_score=told["draw_above"],
        smooth=told["smooth"],
        settings={"weights": str(weights), "weights_modified": _modified(weights), **settings},
    )
    least = 0.5 if least is None else least
    predictor = Predictor(weights, detector=told["detector"], min_box_score=least, **options)
    broken = predict_folder(predictor, sources, out, how)
    for file, reason in broken.items():
        typer.echo(f"not done: {reason if file in reason else f'{file}: {reason}'}", err=True)
    typer.echo(f"{len(sources) - len(broken)} of {len(sources)} sources done: {out / 'results.json'}")
    if broken:
        raise typer.Exit(code=1)


def _modified(weights: Path) -> str:
    """Return when weights, a file or a folder, were changed last."""
    files = [weights, *weights.rglob("*")] if weights.is_dir() else [weights]
    newest = max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
    return datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds")


def _annotated(
    weights: str,
    annotations: Path,
    images: Path,
    out: Path,
    *,
    skeleton: Any,
    dataset_index: int | None,
    detections: Path | None,
    min_score: float,
    category: str | None,
    skip_broken: bool,
    padding: float | None,
    udp: bool | None,
    device: str,
    **running: Any,
) -> None:
    """Predict the annotated or detected boxes of a benchmark into a results file."""
    from pctlib.data.coco import read_coco, read_coco_wholebody
    from pctlib.data.detections import read_detections
    from pctlib.inference.predict import coco_results, find_poses
    from pctlib.io import write_json
    from pctlib.skeletons import COCO, COCO_WHOLEBODY
    from pctlib.study.methods import load_any
    from pctlib.training.device import choose_device

    trained = load_any(weights, dataset_index=dataset_index, skeleton=skeleton)
    chosen = trained.skeleton or COCO
    options = {"category": category}
    if detections is not None:
        options |= {"skeleton": chosen, "min_score": min_score}
        people = read_detections(detections, annotations, images, **options)
    elif chosen == COCO_WHOLEBODY:
        people = read_coco_wholebody(annotations, images, skip_invalid=skip_broken, **options)
    else:
        people = read_coco(annotations, images, skeleton=chosen, skip_invalid=skip_broken, **options)
    found = find_poses(
        trained.model.to(choose_device(device)),
        people,
        input_size=trained.input_size,
        padding=trained.padding if padding is None else padding,
        udp=trained.udp if udp is None else udp,
        **running,
    )
    results, left_out = coco_results(people, *found)
    write_json(out, results)
    read = {"boxes": len(people), **people.excluded, **people.notes}
    counts = {**read, **left_out, "poses written": len(results)}
    typer.echo("\n".join(f"{count:>8} {what}" for what, count in counts.items()))
    typer.echo(f"written: {out}")
