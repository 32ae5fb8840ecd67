"""`pctlib evaluate DATASET`: score a predictions file by the protocol of its benchmark."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pctlib.commands import app

if TYPE_CHECKING:
    import numpy as np

    from pctlib.data.meshes import TrueMeshes
    from pctlib.data.people import People
    from pctlib.metrics.evaluation import Evaluation

evaluate_app = typer.Typer(no_args_is_help=True, help="Score predictions by the protocol of a benchmark.")
app.add_typer(evaluate_app, name="evaluate")

Annotations = Annotated[Path, typer.Option(help="Annotation file as published.")]
Predictions = Annotated[Path, typer.Option(help="Results JSON: a list with image_id, keypoints and score.")]


Category = Annotated[
    str | None, typer.Option(help="Name of the category of persons, where the file does not tell.")
]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Leave out and count persons without a usable box or area.")
]


def _endings(paths: list[Path] | None) -> list[Path] | None:
    """Refuse what cannot be written before anything is evaluated."""
    if paths:
        from pctlib.metrics.evaluation import table_ending

        for path in paths:
            table_ending(path)
    return paths


Out = Annotated[
    list[Path] | None,
    typer.Option(callback=_endings, help="Also write the table here, .json or .csv; may be repeated."),
]
Errors = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the error analysis: tables by joint, visibility, occlusion, size, and figures."
    ),
]


@evaluate_app.command()
def coco(
    annotations: Annotations,
    predictions: Predictions,
    out: Out = None,
    errors: Errors = None,
    category: Category = None,
    skip_broken: SkipBroken = False,
) -> None:
    """COCO keypoints: AP and AR by OKS."""
    from pctlib.metrics.coco import evaluate_coco

    rules = {"category": category, "skip_invalid": skip_broken}
    _report(evaluate_coco(annotations, predictions, **rules), out)
    if errors is not None:
        _analyse_results(annotations, predictions, errors, **rules)


@evaluate_app.command("coco-wholebody")
def coco_wholebody(
    annotations: Annotations,
    predictions: Predictions,
    out: Out = None,
    errors: Errors = None,
    category: Category = None,
    skip_broken: SkipBroken = False,
) -> None:
    """COCO-WholeBody: AP and AR of body, foot, face, left hand, right hand and whole body."""
    from pctlib.metrics.wholebody import FIELDS, evaluate_wholebody
    from pctlib.skeletons import COCO_WHOLEBODY

    rules = {"category": category, "skip_invalid": skip_broken}
    _report(evaluate_wholebody(annotations, predictions, **rules), out)
    if errors is not None:
        rules |= {"skeleton": COCO_WHOLEBODY, "fields": FIELDS}
        _analyse_results(annotations, predictions, errors, **rules)


@evaluate_app.command()
def crowdpose(
    annotations: Annotations,
    predictions: Predictions,
    out: Out = None,
    errors: Errors = None,
    boundaries: Annotated[
        tuple[float, float],
        typer.Option(
            help="Crowd index between easy and medium, medium and hard; the paper's text has 0.1 0.8."
        ),
    ] = (0.2, 0.8),
    category: Category = None,
    skip_broken: SkipBroken = False,
) -> None:
    """CrowdPose: AP and AR, and AP of easy, medium and hard images."""
    from pctlib.data.people import BOX_AREA_SHARE
    from pctlib.metrics.crowdpose import evaluate_crowdpose
    from pctlib.skeletons import CROWDPOSE

    rules = {"category": category, "skip_invalid": skip_broken}
    _report(evaluate_crowdpose(annotations, predictions, boundaries=boundaries, **rules), out)
    if errors is not None:
        rules |= {"skeleton": CROWDPOSE, "box_fill": BOX_AREA_SHARE}
        _analyse_results(annotations, predictions, errors, **rules)


@evaluate_app.command()
def ochuman(
    annotations: Annotations,
    predictions: Predictions,
    out: Out = None,
    errors: Errors = None,
    category: Category = None,
    skip_broken: SkipBroken = False,
) -> None:
    """OCHuman: AP and AR by COCO's protocol on heavily occluded people."""
    from pctlib.metrics.coco import evaluate_ochuman

    rules = {"category": category, "skip_invalid": skip_broken}
    _report(evaluate_ochuman(annotations, predictions, **rules), out)
    if errors is not None:
        _analyse_results(annotations, predictions, errors, **rules)


@evaluate_app.command()
def mpii(
    annotations: Annotated[Path, typer.Option(help="HDF5 annotations with part and normalize (valid.h5).")],
    predictions: Annotated[Path, typer.Option(help="HDF5 or Matlab file with preds [N, 16, 2].")],
    out: Out = None,
    errors: Errors = None,
    pixel_origin: Annotated[
        int,
        typer.Option(help="Number of the first pixel in the predictions: 1 in Matlab's convention, or 0."),
    ] = 1,
    first: Annotated[
        int | None, typer.Option(min=1, help="Score this many persons from the start of both files only.")
    ] = None,
) -> None:
    """MPII: PCKh at 0.5, 0.1 and 0.11 of the head size."""
    from pctlib.data.mpii import read_mpii
    from pctlib.metrics.mpii import evaluate_mpii, read_predictions

    _report(evaluate_mpii(annotations, predictions, pixel_origin=pixel_origin, first=first), out)
    if errors is not None:
        people = read_mpii(annotations, "")
        keypoints = read_predictions(predictions) - pixel_origin
        rows = range(len(people))[:first]
        _write_errors(people.select(rows), keypoints[rows.start : rows.stop], errors)


@evaluate_app.command()
def lsp(
    annotations: Annotated[Path, typer.Option(help="Folder with joints.mat, as published.")],
    predictions: Annotated[
        Path,
        typer.Option(help="HDF5 or Matlab file with preds [N, 14, 2], one pose for each image in order."),
    ],
    split: Annotated[str, typer.Option(help="test, the last 1000 images, train or all.")] = "test",
    extended: Annotated[
        bool, typer.Option("--extended", help="It is LSP-Extended, which has no split.")
    ] = False,
    out: Out = None,
    errors: Errors = None,
) -> None:
    """LSP and LSP-Extended: PCK@0.2 of the torso."""
    from pctlib.data.lsp import read_lsp, read_lsp_extended
    from pctlib.metrics.lsp import evaluate_lsp, of_rows
    from pctlib.metrics.mpii import read_predictions
    from pctlib.skeletons import LSP

    if extended:
        people = read_lsp_extended(annotations)
    else:
        people = read_lsp(annotations, None if split == "all" else split)
    found = read_predictions(predictions, num_keypoints=LSP.num_keypoints)
    first = 1001 if split == "test" and not extended else 1
    keypoints = of_rows(people, found, first_image=first, source=str(predictions))
    _report(evaluate_lsp(people, keypoints), out)
    if errors is not None:
        _write_errors(people, keypoints, errors)


Poses3D = Annotated[
    Path,
    typer.Option(
        help="npz with poses [N, joints, 3], camera frame, mm; in the order of the annotations, or with "
        "annotation_ids or imgname."
    ),
]


@evaluate_app.command()
def h36m(
    annotations: Annotated[
        Path, typer.Option(help="h36m_test.npz (flat), or data_3d_h36m.npz of VideoPose3D with --cameras.")
    ],
    predictions: Poses3D,
    cameras: Annotated[Path | None, typer.Option(help="cameras.pkl, for data_3d_h36m.npz.")] = None,
    subject: Annotated[
        list[str] | None, typer.Option(help="Score this subject; may be repeated. None: S9 and S11.")
    ] = None,
    action: Annotated[
        list[str] | None, typer.Option(help="Score this action; may be repeated. None: all.")
    ] = None,
    frame_step: Annotated[int, typer.Option(min=1, help="Of data_3d_h36m.npz: every so many frames.")] = 5,
    align_root: Annotated[bool, typer.Option(help="Bring both pelvises to 0 first.")] = True,
    out: Out = None,
) -> None:
    """Human3.6M: MPJPE (protocol 1), PA-MPJPE (protocol 2) and N-MPJPE by action, S9 and S11."""
    from pctlib.data.h36m import SUBJECTS, read_h36m, read_h36m_videopose
    from pctlib.metrics.benchmarks_3d import evaluate_h36m, read_predicted_poses

    if annotations.name.startswith("data_3d"):
        if cameras is None:
            raise typer.BadParameter(f"{annotations}: needs --cameras cameras.pkl, the file has none")
        people = read_h36m_videopose(annotations, cameras, split="test", frame_step=frame_step)
    else:
        people = read_h36m(annotations, "")
    poses = read_predicted_poses(predictions, people)
    chosen = {"subjects": subject or SUBJECTS["test"], "actions": action}
    _report(evaluate_h36m(people, poses, align_root=align_root, **chosen), out)


@evaluate_app.command()
def threedpw(
    annotations: Annotated[
        Path, typer.Option(help="sequenceFiles/test; sequenceFiles for --occluded, which spans all splits.")
    ],
    predictions: Poses3D,
    occluded: Annotated[bool, typer.Option(help="Only the films of 3DPW-OCC.")] = False,
    joints: Annotated[int, typer.Option(help="14, those of LSP, or 24, all of SMPL.")] = 14,
    out: Out = None,
) -> None:
    """3DPW and its occluded part: MPJPE, PA-MPJPE and N-MPJPE of the joints of SMPL."""
    from pctlib.data.threedpw import read_threedpw
    from pctlib.metrics.benchmarks_3d import evaluate_threedpw, read_predicted_poses

    people = read_threedpw(annotations, "", occluded=occluded)
    _report(evaluate_threedpw(people, read_predicted_poses(predictions, people), joints=joints), out)


@evaluate_app.command()
def h3wb(
    annotations: Annotated[Path, typer.Option(help="h3wb_train.npz, or mmpose's h3wb_train_bbox.npz.")],
    predictions: Poses3D,
    subject: Annotated[
        list[str] | None, typer.Option(help="Score this subject; may be repeated. None: all in the file.")
    ] = None,
    out: Out = None,
) -> None:
    """H3WB, whole bodies: MPJPE of all, body, face and hands; of face and hands also on their own root."""
    from pctlib.data.h3wb import read_h3wb
    from pctlib.metrics.benchmarks_3d import evaluate_h3wb, read_predicted_poses

    people = read_h3wb(annotations, "", subjects=subject)
    _report(evaluate_h3wb(people, read_predicted_poses(predictions, people)), out)


Meshes = Annotated[
    Path,
    typer.Option(
        help="npz with vertices [N, V, 3], metres, camera frame, and names [N] of their people, in any order."
    ),
]
BodyFile = Annotated[Path, typer.Option(help="SMPLX_NEUTRAL.npz, from its owner's licensed files.")]
PartFiles = Annotated[
    Path,
    typer.Option(
        help="Folder with MANO_SMPLX_vertex_ids.pkl and SMPL-X__FLAME_vertex_ids.npy of SMPL-X; "
        "SMPLX_to_J14.pkl for the body's joints."
    ),
]


@evaluate_app.command()
def ehf(
    annotations: Annotated[Path, typer.Option(help="EHF's folder, with 01_align.ply and so on.")],
    predictions: Meshes,
    body_model: BodyFile,
    part_files: PartFiles,
    out: Out = None,
) -> None:
    """EHF: MPVPE and PA-MPVPE of all, hands and face, and joints; names are the frames' numbers (01)."""
    from pctlib.data.ehf import read_ehf
    from pctlib.metrics.benchmarks_mesh import evaluate_ehf

    _evaluate_meshes(read_ehf, evaluate_ehf, annotations, predictions, body_model, part_files, out)


@evaluate_app.command()
def agora(
    annotations: Annotated[
        Path, typer.Option(help="AGORA_validation.json, with the files of its persons beside it.")
    ],
    predictions: Meshes,
    body_model: BodyFile,
    part_files: PartFiles,
    out: Out = None,
) -> None:
    """AGORA's validation people as OSX measures them: MPVPE and PA-MPVPE; names are annotation ids."""
    from pctlib.data.agora import read_agora
    from pctlib.metrics.benchmarks_mesh import evaluate_agora

    _evaluate_meshes(read_agora, evaluate_agora, annotations, predictions, body_model, part_files, out)


def _evaluate_meshes(
    read: "Callable[..., TrueMeshes]",
    evaluate: "Callable[..., Evaluation]",
    annotations: Path,
    predictions: Path,
    body_model: Path,
    part_files: Path,
    out: list[Path] | None,
) -> None:
    """Read body, true and predicted meshes, and report their errors."""
    from pctlib.body_model import BodyModel
    from pctlib.data.meshes import read_predicted_meshes
    from pctlib.metrics.mesh_parts import smplx_parts

    body = BodyModel.from_npz(body_model)
    parts = smplx_parts(body, part_files)
    truth = read(annotations, num_vertices=len(body.template))
    _report(evaluate(truth, read_predicted_meshes(predictions, truth), parts), out)


def _report(evaluation: "Evaluation", out: list[Path] | None) -> None:
    """Print the table and the counts, and write them where asked."""
    typer.echo(evaluation.text())
    for path in out or []:
        typer.echo(f"written: {evaluation.write(path)}")


def _analyse_results(annotations: Path, predictions: Path, folder: Path, **layout: Any) -> None:
    """Match a results file with the persons and write the error analysis; `layout` is that of the set."""
    from pctlib.metrics.error_analysis import match_results

    people, keypoints, found, counts = match_results(annotations, predictions, **layout)
    typer.echo("\nerror analysis")
    typer.echo("\n".join(f"{count:>8} {what}" for what, count in counts.items()))
    _write_errors(people, keypoints, folder, found=found)


def _write_errors(
    people: "People", keypoints: "np.ndarray", folder: Path, *, found: "np.ndarray | None" = None
) -> None:
    """Write the tables and figures of the error analysis into a folder, and print the table by visibility."""
    from pctlib import io
    from pctlib.metrics.error_analysis import GROUPINGS, error_table, summarize_errors
    from pctlib.visualization.error_figures import error_groups_figure, error_types_figure

    table = error_table(people, keypoints, found=found)
    summaries = {grouping: summarize_errors(table, grouping) for grouping in GROUPINGS}
    for grouping, summary in summaries.items():
        io.write_text(folder / f"errors_by_{grouping}.csv", summary.to_csv())
    figures = {"error_groups": error_groups_figure({g: s for g, s in summaries.items() if g != "joint"})}
    if "type" in table:
        figures["error_types"] = error_types_figure(summaries["joint"])
    for name, figure in figures.items():
        io.write_atomic(folder / f"{name}.png", lambda path, f=figure: f.savefig(path, format="png", dpi=150))
    typer.echo(summaries["visibility"].round(3).to_string())
    typer.echo(f"written: {folder}")
