"""`pctlib pretrain`: the small backbones that come with the package, trained long on procedural people."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from pctlib.commands import app


@app.command("pretrain")
def pretrain(
    out: Annotated[Path, typer.Option(help="gets a weights file and a card for each backbone")],
    plan: Annotated[Path | None, typer.Option(help="YAML; workflow/pretrain.yml without")] = None,
    work: Annotated[Path, typer.Option(help="people and runs; what a stopped call goes on from")] = Path(
        "reports/pretrain"
    ),
    images: Annotated[
        int | None, typer.Option(min=1, help="pictures to learn from; the plan's without")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="the plan's without")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="of training, in place of --epochs: as many as fit, by a trial")
    ] = None,
    backbone: Annotated[list[str] | None, typer.Option(help="only these; repeatable")] = None,
    precision: Annotated[str, typer.Option(help="no or bf16; auto: bf16 on a GPU")] = "auto",
    revision: Annotated[str, typer.Option(help="of the code, for the card where git is not there")] = "",
    workers: Annotated[int, typer.Option(help="processes that render; 0: as many as cores")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Train the demo's backbones on many people of seeds of their own, and write weights and cards.

    A stopped call goes on where it was. On a GPU the backbones are trained side by side.
    """
    from pctlib.profiles.backbones import load_start_profile, start_file
    from pctlib.study.backbones.run import Order, pretrain_all

    if epochs is not None and minutes is not None:
        raise ValueError("--epochs and --minutes: give one of the two")
    if precision not in ("auto", "no", "bf16"):
        raise ValueError(f"--precision: expected auto, no or bf16, got '{precision}'")
    chosen = load_start_profile(plan or start_file())
    if images is not None:
        people = chosen.people.model_copy(update={"images": images})
        chosen = chosen.model_copy(update={"people": people})
    if epochs is not None:
        training = chosen.training.model_copy(update={"epochs": epochs})
        chosen = chosen.model_copy(update={"training": training})
    started = time.monotonic()
    order = Order(
        plan=chosen,
        out=out.resolve(),
        work=work.resolve(),
        names=tuple(backbone or ()),
        minutes=minutes,
        precision=precision,
        revision=revision,
        command=" ".join(["python -m pctlib", *sys.argv[1:]]),
        workers=workers or os.cpu_count() or 1,
        device=device,
    )
    for name, card in pretrain_all(order).items():
        told = ", ".join(f"{key} {value}" for key, value in next(iter(card["reached"].values())).items())
        typer.echo(
            f"{order.out / name}.safetensors: {card['views']} views of {card['people']} people, {told}"
        )
    typer.echo(f"after {time.monotonic() - started:.0f} s")
