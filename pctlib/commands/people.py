"""`pctlib people`: procedural people on disk."""

from pathlib import Path
from typing import Annotated

import typer

from pctlib.commands import app


@app.command("people")
def people(
    out: Annotated[Path, typer.Option(help="folder of the data set")],
    count: Annotated[int, typer.Option(min=1, help="pictures")] = 12,
    split: Annotated[str, typer.Option(help="name of the part")] = "train",
    seed: Annotated[int, typer.Option(min=0, help="which people")] = 0,
    image_size: Annotated[int, typer.Option(min=32, help="height and width of the pictures, pixels")] = 256,
    occlusion: Annotated[str, typer.Option(help="none, object, person, truncation or mixed")] = "mixed",
    level: Annotated[
        float, typer.Option(min=0, max=1, help="share of the main person that is hidden")
    ] = 0.25,
    body_model: Annotated[
        Path | None, typer.Option(help="an SMPL-X npz file; the embedded body without")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes")] = 1,
) -> None:
    """Make pictures of procedural people with COCO, COCO-WholeBody and 3D annotations."""
    from pctlib.data.procedural import Occlusion, generate

    path = generate(
        out,
        split=split,
        count=count,
        seed=seed,
        image_size=image_size,
        occlusion=Occlusion(occlusion, level),
        body_model=body_model,
        workers=workers,
    )
    typer.echo(path)
