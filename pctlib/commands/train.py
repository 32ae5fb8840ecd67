"""`pctlib train`: one stage of the study, for scripts and for `accelerate launch`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pctlib.commands import app


class Stage(StrEnum):
    """The stages that several processes can train."""

    tokenizer = "tokenizer"
    heatmap = "heatmap"


@app.command("train")
def train(
    stage: Annotated[Stage, typer.Argument(help="which stage")],
    profile: Annotated[str, typer.Option(help="smoke, demo, extended, paper, or a YAML file")] = "demo",
    data: Annotated[str, typer.Option(help="procedural, coco or poses")] = "procedural",
    data_root: Annotated[str, typer.Option(help="folder of the data set; not for procedural")] = "",
    seed: Annotated[int, typer.Option(min=0, help="of weights, order and augmentation")] = 0,
    out_dir: Annotated[str, typer.Option(help="folder of the run; the study's own if empty")] = "",
    heatmap_dir: Annotated[str, typer.Option(help="trained backbone, for image guidance")] = "",
) -> None:
    """Train one stage; a finished run is read by the stage's notebook, which then only reports."""
    from pctlib.paths import resolve
    from pctlib.study.people import load_splits
    from pctlib.study.poses import load_poses
    from pctlib.study.stages.heatmap import load_heatmap, train_heatmap
    from pctlib.study.stages.tokenizer import train_tokenizer
    from pctlib.workflow.layout import StudyLayout, out_folder

    layout = StudyLayout.from_config({"profile": profile, "dataset": data, "root": data_root})
    settings = layout.profile
    guide = None
    if stage is Stage.tokenizer and layout.guided:
        trained = Path(heatmap_dir).resolve() if heatmap_dir else resolve(layout.run_dir("heatmap", seed))
        if not (trained / "model.json").is_file():
            raise FileNotFoundError(
                f"{trained}: no trained backbone, but profile {settings.name} has a guided tokenizer; "
                "train heatmap first, or name its folder by --heatmap-dir"
            )
        guide = load_heatmap(trained).backbone
    splits = load_splits(data, settings, root=data_root)
    folder = out_folder(Path(out_dir).resolve() if out_dir else layout.run_dir(stage, seed))
    if stage is Stage.heatmap:
        result = train_heatmap(settings, splits, seed=seed, out_dir=folder)
    else:
        result = train_tokenizer(
            settings,
            load_poses(splits.train, settings, training=True),
            val_poses=load_poses(splits.val, settings, training=False),
            seed=seed,
            out_dir=folder,
            guide=guide,
        )
    last = {name: value for name, value in result.history[-1].items() if value is not None}
    typer.echo(f"{folder}: " + ", ".join(f"{name} {value:.4g}" for name, value in last.items()))
