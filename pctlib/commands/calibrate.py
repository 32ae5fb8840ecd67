"""`pctlib calibrate`: scores of joints as probabilities, fitted on annotated people."""

from pathlib import Path
from typing import Annotated

import typer

from pctlib.commands import app


@app.command("calibrate")
def calibrate_weights(
    weights: Annotated[
        Path, typer.Argument(help="official file, folder of Hugging Face, or run folder of the study")
    ],
    annotations: Annotated[Path, typer.Option(help="COCO JSON of people that nothing was trained on")],
    images: Annotated[Path, typer.Option(help="folder of the annotated images")],
    out: Annotated[
        Path | None, typer.Option(help="where it goes; without, where predictions with the weights find it")
    ] = None,
    skeleton: Annotated[
        str,
        typer.Option(help="keypoints: coco, coco-wholebody, ..., or a YAML file; if not said, the model's"),
    ] = "",
    dataset_index: Annotated[
        int | None, typer.Option(help="which data set of a published ViTPose+; 0 is COCO")
    ] = None,
    flip_test: Annotated[bool, typer.Option("--flip-test", help="as predictions will be made")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="crops of a batch")] = 32,
    workers: Annotated[int, typer.Option(min=0, help="processes that read images")] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Fit the probability that a joint is found to its score; `pctlib predict` then gives probabilities.

    Said are the errors on images that were kept out of the fit; what is written is fitted on all.
    """
    from pctlib.data.coco import read_coco, read_coco_wholebody
    from pctlib.inference.calibration import calibrate, calibration_file, write_calibration
    from pctlib.inference.predict import find_poses
    from pctlib.skeleton_files import choose_skeleton
    from pctlib.skeletons import COCO, COCO_WHOLEBODY
    from pctlib.study.methods import load_any
    from pctlib.training.device import choose_device

    given = choose_skeleton(skeleton) if skeleton else None
    trained = load_any(weights, dataset_index=dataset_index, skeleton=given)
    chosen = trained.skeleton or COCO
    if chosen == COCO_WHOLEBODY:
        people = read_coco_wholebody(annotations, images)
    else:
        people = read_coco(annotations, images, skeleton=chosen)
    keypoints, scores = find_poses(
        trained.model.to(choose_device(device)),
        people,
        input_size=trained.input_size,
        padding=trained.padding,
        udp=trained.udp,
        flip_test=flip_test,
        joint_scores=True,
        batch_size=batch_size,
        workers=workers,
    )
    fitted = calibrate(people, keypoints, scores)
    file = calibration_file(weights) if out is None else out
    write_calibration(file, fitted, source=str(annotations), flip_test=flip_test)
    typer.echo(f"{fitted.joints} labelled joints of {len(people)} people")
    typer.echo(
        f"calibration error {fitted.error:.3f} (before: {fitted.before:.3f}) on images kept out of the fit"
    )
    typer.echo(f"found joints score more than missed ones in {100 * fitted.separation:.1f} % of the pairs")
    typer.echo(f"mean probability of seen joints {fitted.seen:.3f}, of hidden ones {fitted.hidden:.3f}")
    typer.echo(f"written: {file}")
