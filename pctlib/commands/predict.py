"""`pctlib predict`: poses in the boxes of images, as a results file for `pctlib evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from pctlib.commands import app


@app.command("predict")
def predict(
    weights: Annotated[
        Path, typer.Argument(help="published checkpoint, folder of Hugging Face, or run folder of the study")
    ],
    annotations: Annotated[Path, typer.Option(help="COCO JSON that names the images")],
    images: Annotated[Path, typer.Option(help="folder of the images")],
    out: Annotated[Path, typer.Option(help="where the results go, JSON")],
    detections: Annotated[
        Path | None, typer.Option(help="detected boxes, COCO results JSON; the annotated boxes without")
    ] = None,
    min_score: Annotated[float, typer.Option(help="of detected boxes that are used")] = 0.0,
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
    flip_test: Annotated[bool, typer.Option(help="merge with the mirrored images")] = True,
    batch_size: Annotated[int, typer.Option(min=1, help="crops of a batch")] = 32,
    workers: Annotated[int, typer.Option(min=0, help="processes that read images")] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Find poses in annotated or detected boxes; `pctlib evaluate` scores what it writes."""
    from pctlib.data.coco import read_coco, read_coco_wholebody
    from pctlib.data.detections import read_detections
    from pctlib.inference.predict import coco_results, find_poses
    from pctlib.io import write_json
    from pctlib.skeleton_files import choose_skeleton
    from pctlib.skeletons import COCO, COCO_WHOLEBODY
    from pctlib.study.methods import load_any
    from pctlib.training.device import choose_device

    given = choose_skeleton(skeleton) if skeleton else None
    trained = load_any(weights, dataset_index=dataset_index, skeleton=given)
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
        flip_test=flip_test,
        batch_size=batch_size,
        workers=workers,
    )
    results, left_out = coco_results(people, *found)
    write_json(out, results)
    read = {"boxes": len(people), **people.excluded, **people.notes}
    counts = {**read, **left_out, "poses written": len(results)}
    typer.echo("\n".join(f"{count:>8} {what}" for what, count in counts.items()))
    typer.echo(f"written: {out}")
