"""What the mesh page tells: errors by part, what each costs, where they come from, and people to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pctlib.complexity import count_flops, count_parameters
from pctlib.data.images import denormalize
from pctlib.models.osx.joints import project
from pctlib.models.vit import PATCH
from pctlib.reporting.columns import Column
from pctlib.reporting.tables import Interval, mean_interval
from pctlib.reporting.viewer import Scene
from pctlib.study.crops import CropCache
from pctlib.study.findings import difference_in_words, failures, one_seed_note
from pctlib.study.pages.mesh.study import (
    ENLARGED,
    ERRORS,
    FLOORS,
    MEAN,
    TRUE_BOXES,
    MeshStudy,
    load_errors,
)
from pctlib.study.pages.mesh.task import PARTS, Found
from pctlib.study.pages.mesh.trainings import AXIS_ANGLE, CROPS, FULL, GLOBAL, TOKENS, WITHOUT_DECODER
from pctlib.study.predictions import choose_people
from pctlib.study.speed import speeds
from pctlib.study.variants import FAILED, interval_of, run_folder, summarise
from pctlib.visualization.meshes import FOUND_COLOR, TRUE_COLOR, MeshRow, draw_mesh, png, view

COLUMNS = {
    "MPVPE all": Column("MPVPE all", "mm"),
    "MPVPE hands": Column("hands", "mm"),
    "MPVPE face": Column("face", "mm"),
    "PA-MPVPE all": Column("PA-MPVPE all", "mm"),
    "PA-MPVPE hands": Column("PA hands", "mm"),
    "PA-MPVPE face": Column("PA face", "mm"),
    "MPJPE body": Column("MPJPE body", "mm"),
    "PA-MPJPE hands": Column("PA-MPJPE hands", "mm"),
    "root": Column("root", "degrees"),
}
_OCCLUSION = ((0.0, 0.1), (0.1, 0.3), (0.3, 1.01))  # shares of the body that is hidden
_HAND_PIXELS = ((0, 8), (8, 16), (16, 10_000))  # longer side of the hands' box, pixels of the input
_TRUE_BOXES_NAME = "{}, true boxes"


def mesh_table(frame: pd.DataFrame, floors: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Return one row a method: the floors first, then the variants, each with true boxes where it has any.

    Args:
        frame: of `train_variants`.
        floors: name -> column -> [N].
    """
    rows = [
        {
            "method": name,
            **{
                column.heading: float(np.mean(floors[name][key]))
                for key, column in COLUMNS.items()
                if key in floors[name]
            },
        }
        for name in FLOORS
    ]
    base = summarise(frame, COLUMNS, name="method")
    boxed_columns = {f"{key}{TRUE_BOXES}": column for key, column in COLUMNS.items()}
    boxed = summarise(frame, boxed_columns, name="method")
    for (_, plain), (_, other) in zip(base.iterrows(), boxed.iterrows(), strict=True):
        runs = frame[frame["variant"] == plain["method"]]
        overlap = [interval_of(runs, f"IoU {part}") for part in PARTS]
        known = [value.mean for value in overlap if isinstance(value, Interval)]
        rows.append({**plain, "box IoU (%)": 100 * float(np.mean(known)) if known else np.nan})
        if isinstance(other[COLUMNS["MPVPE all"].heading], Interval):
            rows.append({**other, "method": _TRUE_BOXES_NAME.format(plain["method"])})
    return pd.DataFrame(rows)


class _Timed(nn.Module):
    """A network of meshes in the form that `speeds` times."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).rotations()

    @dataclass
    class _Result:
        scores: Tensor

    @torch.inference_mode()
    def predict(self, images: Tensor) -> "_Timed._Result":
        """Return what `speeds` waits for."""
        return self._Result(self(images))


def cost_table(study: MeshStudy, runs: str | Path, seed: int) -> pd.DataFrame:
    """Return parameters, multiply-adds and milliseconds a person of the networks, timed in turns.

    Crops of features and samples at places are no multiply-adds of layers and are not counted.

    Args:
        study: of the page.
        runs: folder of one seed.
        seed: theirs.
    """
    models = {}
    for variant in study.variants:
        folder = run_folder(runs, variant)
        if (folder / ERRORS).is_file():
            scale = ENLARGED if variant == CROPS else 1
            size = tuple(scale * side for side in study.size.input_size)
            models[variant] = (_Timed(study.load(folder)), size)
    rates = speeds(models, batch_sizes=(1, 32), rounds=3)
    return pd.DataFrame(
        [
            {
                "method": name,
                "parameters (M)": count_parameters(model) / 1e6,
                "GFLOPs": count_flops(model, size).gflops,
                "ms a person, one by one": 1000 / rates[name][1],
                "ms a person, 32 together": 1000 / rates[name][32],
            }
            for name, (model, size) in models.items()
        ]
    )


def conditions_table(study: MeshStudy, runs: str | Path, seeds: Sequence[int]) -> pd.DataFrame:
    """Return MPVPE of all and of hands by how much is hidden, and by how large the hands are.

    Args:
        study: of the page.
        runs: folder that has one for each seed.
        seeds: of the runs.
    """
    crops = study.crops(training=False)
    hidden = crops.crops.people.occlusion
    pixels = _hand_pixels(study)
    groups = {"hidden, up to 10 %": hidden < _OCCLUSION[0][1]}
    groups |= {
        f"hidden, {100 * low:.0f} to {100 * min(high, 1):.0f} %": (hidden >= low) & (hidden < high)
        for low, high in _OCCLUSION[1:]
    }
    groups |= {
        f"hands of {low} to {high} px" if high < 1000 else f"hands of {low} px and more": (pixels >= low)
        & (pixels < high)
        for low, high in _HAND_PIXELS
    }
    rows = []
    for variant in study.variants:
        files = [run_folder(Path(runs) / f"seed{seed}", variant) / ERRORS for seed in seeds]
        errors = [load_errors(file) for file in files if file.is_file()]
        for name, members in groups.items():
            if errors and members.any():
                column = "MPVPE hands" if name.startswith("hands") else "MPVPE all"
                values = [float(e[column][members].mean()) for e in errors]
                rows.append({"method": variant, "people": name, "error (mm)": mean_interval(values)})
    table = pd.DataFrame(rows).pivot(index="method", columns="people", values="error (mm)")
    table = table.reindex(index=[v for v in study.variants if v in table.index], columns=list(groups))
    counts = {name: f"{name} ({int(members.sum())})" for name, members in groups.items()}
    return table.dropna(axis=1, how="all").rename(columns=counts).rename_axis(columns=None).reset_index()


def _hand_pixels(study: MeshStudy) -> np.ndarray:
    """Return the mean side [N] of both hands' true boxes, without their margin, pixels of the input."""
    crops = study.crops(training=False)
    sides = []
    for rows, inputs in crops.in_order(torch.device("cpu")):
        boxes = crops.batch(rows, inputs).boxes[:, :2]
        sides.append((boxes[..., 2] - boxes[..., 0]).mean(1) / 2)
    return torch.cat(sides).numpy()


def mesh_finding(frame: pd.DataFrame, floors: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Return in plain words what the parts of the design buy, and how far all are from knowing nothing."""
    trained = list(dict.fromkeys(frame["variant"]))
    ok = frame if FAILED not in frame else frame[frame[FAILED].isna()]
    means = ok.groupby("variant")["MPVPE all"].mean()
    floor = float(np.mean(floors[MEAN]["MPVPE all"]))
    best = means.idxmin()
    sentences = [
        f"The best network, '{best}', is {means.min():.0f} mm off where the mean body is {floor:.0f} mm off"
        + ("." if means.min() <= floor / 2 else ": less than half of the way, as the training is short.")
    ]
    below = [name for name, value in means.items() if value >= floor]
    if below:
        sentences.append(f"No better than the mean body: {', '.join(below)}.")
    pairs = (
        (TOKENS, GLOBAL, "MPVPE all", "mm of all vertices"),
        (FULL, TOKENS, "PA-MPVPE hands", "mm of hands, aligned"),
        (FULL, WITHOUT_DECODER, "PA-MPVPE hands", "mm of hands, aligned"),
        (FULL, CROPS, "PA-MPVPE hands", "mm of hands, aligned"),
        (AXIS_ANGLE, TOKENS, "root", "degrees of the root"),
    )
    for variant, base, metric, what in pairs:
        if variant in trained and base in trained:
            sentences.append(difference_in_words(frame, metric, variant, base, what=what, scale=1.0))
    return " ".join(filter(None, [*sentences, one_seed_note(frame), failures(frame)]))


@dataclass(frozen=True)
class Shown:
    """People that the page shows, with what one method found of them.

    Attributes:
        rows: of the gallery.
        found: [n, V, 3] millimetres about the pelvis.
        truth: [n, V, 3].
    """

    rows: list[MeshRow]
    found: np.ndarray
    truth: np.ndarray


def shown_people(study: MeshStudy, found: Found, *, each: int = 1) -> Shown:
    """Return the people with the least, median and largest error, and the parts of their pictures.

    Args:
        study: of the page.
        found: by a method, of all validation people.
        each: how many of each kind.
    """
    errors = found.errors["MPVPE all"]
    chosen = choose_people(errors, best=each, median=each, worst=each)
    numbers = [row for row, _ in chosen]
    truth = _about_pelvis(study, study.truth()[numbers])
    meshes = _about_pelvis(study, found.vertices[numbers])
    images = _images(study, numbers)
    rows = []
    for place, (row, why) in enumerate(chosen):
        pixels = _pixels(study, found.vertices[row], found.camera[row])
        label = f"{why}\n{errors[row]:.0f} mm"
        rows.append(MeshRow(images[place], pixels, meshes[place], truth[place], label))
    return Shown(rows, meshes, truth)


def _images(study: MeshStudy, numbers: Sequence[int]) -> list[np.ndarray]:
    """Return the crops of some people, uint8, twice as large as the network sees them."""
    size = tuple(ENLARGED * side for side in study.size.input_size)
    people = study.crops(training=False).crops.people.select(list(numbers))
    crops = CropCache(study.profile).cut(people, size, training=False)
    inputs = next(iter(crops.inputs([torch.arange(len(people))], torch.device("cpu"))))
    return list(denormalize(inputs.images).permute(0, 2, 3, 1).contiguous().numpy())


def _pixels(study: MeshStudy, vertices: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Return where a mesh [V, 3] is in its enlarged crop: x, y in pixels, depth in metres."""
    points, place = torch.from_numpy(vertices)[None], torch.from_numpy(camera)[None]
    seen = project(points, place, study.size.input_size)[0].numpy() * PATCH * ENLARGED
    return np.concatenate([seen, (vertices[:, 2:] + camera[2])], axis=1)


def _about_pelvis(study: MeshStudy, meshes: np.ndarray) -> np.ndarray:
    """Return meshes [n, V, 3] in millimetres about their pelvis."""
    regressor = study.body.model.joint_regressor[0].cpu().numpy()
    return 1000 * (meshes - np.einsum("v,nvd->nd", regressor, meshes)[:, None])


def mesh_scene(study: MeshStudy, shown: Mapping[str, Shown], *, label: str) -> Scene:
    """Return the chosen people as figures that a reader can turn: the truth, and what methods found.

    Args:
        study: of the page.
        shown: method -> the same people.
        label: what is shown.
    """
    first = next(iter(shown.values()))
    faces = study.body.model.faces.cpu().numpy()
    names = [row.label.split("\n")[0] for row in first.rows]
    figures = {
        f"{name}: {method}": {"truth": people.truth[i], "found": people.found[i]}
        for i, name in enumerate(names)
        for method, people in shown.items()
    }
    reach = 1.1 * np.abs(first.truth[0]).max()
    grey = np.array([0.54, 0.56, 0.59])
    picture = draw_mesh(
        view(first.truth[0], axes=(0, 1, 2), reach=reach, side=400), faces, grey, size=(400, 400)
    )
    colors = {"truth": TRUE_COLOR, "found": FOUND_COLOR}
    return Scene(label, figures, colors, faces=faces, picture=png(picture))
