"""Which people and tokens page 14 draws, by rule, and the drawings' arguments."""

import io
from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure

from pctlib.models.tokenizer import PoseTokenizer
from pctlib.reporting.viewer import Scene
from pctlib.study.pages.pose3d.methods import Methods3D
from pctlib.study.pictures import person_pictures
from pctlib.study.poses import Poses
from pctlib.study.predictions import choose_people
from pctlib.study.predictions_3d import Predictions3D, person_errors_3d, truth_3d
from pctlib.visualization.poses_3d import TRUTH, TRUTH_COLOR, PoseRow3D, pose_views
from pctlib.visualization.style import colors

_TRIED = 24  # entries that a token is tried with


def pose_rows(
    found: Mapping[str, Predictions3D], study: Methods3D, *, by: str, each: int = 1
) -> list[PoseRow3D]:
    """Return people of the least, median and largest error of one method, with what several methods found.

    Args:
        found: method -> predictions of the validation people; those that are drawn.
        study: that trained the methods.
        by: the method whose errors choose.
        each: how many of each kind.
    """
    people = study.people.val
    chosen = choose_people(person_errors_3d(people, found[by]), best=each, median=each, worst=each)
    pictures = person_pictures(people, [row for row, _ in chosen])
    truth = truth_3d(people)
    return [
        PoseRow3D(
            {TRUTH: truth[row]} | {name: predictions.poses[row] for name, predictions in found.items()},
            image=pictures.images[number],
            label=why,
        )
        for number, (row, why) in enumerate(chosen)
    ]


def pose_scene(rows: Sequence[PoseRow3D], study: Methods3D, *, picture: Figure) -> Scene:
    """Return the same people to be turned.

    Args:
        rows: of `pose_rows`.
        study: that trained the methods.
        picture: stands where no script runs.
    """
    names = list(rows[0].poses)
    shades = {TRUTH: TRUTH_COLOR} | colors([name for name in names if name != TRUTH])
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", dpi=80)
    return Scene(
        label=f"Poses of {len(rows)} people in 3D: {', '.join(names)}",
        figures={f"person {number}: {row.label}": row.poses for number, row in enumerate(rows, start=1)},
        colors={name: shades[name] for name in names},
        lines=study.people.val.skeleton_3d.limbs,
        picture=buffer.getvalue(),
    )


@torch.inference_mode()
def token_rows(model: PoseTokenizer, poses: Poses, *, shown: int = 2) -> list[PoseRow3D]:
    """Return the pose that is nearest to the mean, with one token at a time written anew.

    Args:
        model: in eval mode.
        poses: to choose from.
        shown: how many tokens, those that move the pose most; each with its entry of the largest movement
            among the most used ones.
    """
    keypoints = poses.keypoints.cpu()
    nearest = int((keypoints - keypoints.mean(0)).norm(dim=-1).mean(1).argmin())
    codes = model.encode(poses.keypoints, poses.visible)
    indices = model.quantize(codes).indices  # [N, M]
    own, size = indices[nearest], len(model.codebook.codebook)
    usage = torch.bincount(indices.flatten(), minlength=size)
    entries = usage.argsort(descending=True, stable=True)[:_TRIED]
    M = model.num_tokens
    changed = own.repeat(M, len(entries), 1)  # [M, entries, M]
    changed[torch.arange(M), :, torch.arange(M)] = entries
    restored = model.decode(model.codebook.look_up(own[None]))[0]  # [K, 3]
    moved = model.decode(model.codebook.look_up(changed.flatten(0, 1))).unflatten(0, (M, -1))
    distance = (moved - restored).norm(dim=-1).mean(-1)  # [M, entries]
    strongest = distance.amax(1).argsort(descending=True)[:shown].tolist()
    rows = []
    for token in strongest:
        entry = int(distance[token].argmax())
        pair = {"read back": restored, "one token changed": moved[token, entry]}
        label = f"token {token}: {distance[token, entry]:.0f} mm"
        rows.append(PoseRow3D({name: pose.cpu().numpy() for name, pose in pair.items()}, label=label))
    return rows


def draw_rows(rows: Sequence[PoseRow3D], study: Methods3D) -> Figure:
    """Return the drawing of rows from three sides."""
    names = [name for name in dict.fromkeys(n for row in rows for n in row.poses) if name != TRUTH]
    return pose_views(rows, skeleton=study.people.val.skeleton_3d, colors=colors(names))
