"""The mesh page on a few small people: training, floors, tables, pictures, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup

from pctlib.data.procedural.bodies import read_bodies
from pctlib.data.procedural.generate import generate
from pctlib.data.procedural.reader import read_procedural
from pctlib.inference.predictor import Predictor
from pctlib.profiles.pages import MeshProfile
from pctlib.profiles.profile import load_profile
from pctlib.skeletons import COCO, SMPL
from pctlib.study.pages.mesh import inside, report
from pctlib.study.pages.mesh.networks import study_body
from pctlib.study.pages.mesh.study import ERRORS, MEAN, MEAN_TURNED, MeshStudy, load_errors
from pctlib.study.pages.mesh.task import find_meshes
from pctlib.study.pages.mesh.trainings import AXIS_ANGLE, CROPS, FULL, GLOBAL, TOKENS, trainings
from pctlib.study.people import Splits
from pctlib.study.variants import run_folder, train_variants

VARIANTS = (GLOBAL, TOKENS, AXIS_ANGLE, FULL, CROPS)
SECTION = MeshProfile(
    variants=VARIANTS,
    input_height=64,
    input_width=48,
    backbone={"name": "mobilenetv4_conv_small", "stages": 4, "weights": "shipped"},
    dim=16,
    depth=1,
    heads=2,
    body_depth=4,
    hand_cells=4,
    face_cells=4,
    box_width=8,
    regressor_width=8,
    decoder={"width": 16, "num_layers": 1, "hidden": 16, "num_heads": 2, "groups": 4, "dropout": 0},
    training={"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "warmup_steps": 1},
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("people")
    for split, count, seed in (("train", 12, 1), ("val", 6, 2)):
        generate(root, split=split, count=count, seed=seed, image_size=128, progress=False)
    profile = load_profile("smoke").model_copy(update={"mesh": SECTION, "device": "cpu"})
    splits = Splits(*(read_procedural(root, split) for split in ("train", "val")), "drawn")
    bodies = tuple(read_bodies(root, split) for split in ("train", "val"))
    return MeshStudy(profile, splits, bodies, study_body(SECTION), progress=False)


@pytest.fixture(scope="module")
def trained(study, tmp_path_factory):
    """Return the folder of the runs and their metrics."""
    runs = tmp_path_factory.mktemp("runs")
    return runs, train_variants(study, VARIANTS, seeds=[0], runs_dir=runs, progress=False)


@pytest.fixture(scope="module")
def floors(study):
    return study.floors()


def test_every_variant_trains_and_is_measured(study, trained):
    runs, frame = trained
    assert list(frame["variant"]) == list(VARIANTS)
    assert "failed" not in frame
    assert np.isfinite(frame[["MPVPE all", "PA-MPVPE hands", "root"]].to_numpy(float)).all()
    boxed = frame.set_index("variant")["IoU face"]
    assert np.isfinite(boxed[FULL])
    assert boxed.drop(FULL).isna().all()
    errors = load_errors(run_folder(runs / "seed0", FULL) / ERRORS)
    assert errors["MPVPE all"].shape == (len(study.crops(training=False)),)
    np.testing.assert_allclose(
        errors["MPVPE all"].mean(), frame.set_index("variant").loc[FULL, "MPVPE all"], rtol=1e-5
    )


def test_a_trained_network_is_read_back(study, trained):
    runs, _ = trained
    folder = run_folder(runs / "seed0", CROPS)
    found = study.find(CROPS, study.load(folder))
    np.testing.assert_allclose(
        found.errors["MPVPE all"], load_errors(folder / ERRORS)["MPVPE all"], rtol=1e-3
    )


@pytest.mark.parametrize("variant", [FULL, CROPS])
def test_a_run_finds_meshes_in_photographs(study, trained, variant):
    """The predictor's surface is that of the study, its joints lie in it, its pixels are their picture."""
    folder, people = run_folder(trained[0] / "seed0", variant), study.splits.val
    found = study.find(variant, study.load(folder))
    predictor = Predictor(folder)
    x, y, w, h = people.boxes_xywh[0]
    person = predictor(people.image_files[0], boxes=[[x, y, x + w, y + h]])
    regressor = study.body.model.joint_regressor[0].cpu().numpy()
    about = 1000 * (found.vertices[0] - regressor @ found.vertices[0])
    shown = person.vertices[0] - regressor @ person.vertices[0]
    assert np.abs(shown - about).max() < 30, "crops are cut once, not twice"
    assert person.faces.max() == person.vertices.shape[1] - 1
    joints = dict(zip(SMPL.keypoint_names, person.joints_3d[0], strict=True))
    np.testing.assert_array_equal(joints["pelvis"], 0)
    low, high = person.vertices[0].min(0), person.vertices[0].max(0)
    assert all((low - 50 < place).all() and (place < high + 50).all() for place in joints.values())
    # one camera sees them all: pixels are a linear picture of joints that are metres away
    flat = np.stack([joints[name] for name in SMPL.keypoint_names if name in COCO.keypoint_names])
    seen = person.keypoints[0][[COCO.index(n) for n in SMPL.keypoint_names if n in COCO.keypoint_names]]
    for axis in (0, 1):
        slope, start = np.polyfit(flat[:, axis], seen[:, axis], 1)
        assert slope > 0
        np.testing.assert_allclose(slope * flat[:, axis] + start, seen[:, axis], atol=0.02 * max(w, h))


def test_truth_is_the_truth(study):
    """A network that knows the answer is not wrong, whatever the crop."""
    crops = study.crops(training=False)

    class Knows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.p = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images, boxes=None):
            from pctlib.body_model import rotation_matrix
            from pctlib.models.osx.body import osx_order
            from pctlib.models.osx.network import MeshPrediction

            rows, inputs = next(iter(crops.in_order(torch.device("cpu"))))
            bodies = crops.bodies.select(rows).follow(inputs.affine)
            turns = osx_order(rotation_matrix(bodies.pose)).split((1, 21, 15, 15, 1), dim=1)
            return MeshPrediction(*turns, bodies.shape, bodies.expression, torch.zeros(len(rows), 3))

    errors = find_meshes(Knows(), crops).errors
    assert errors["root"].max() < 0.1
    assert errors["MPVPE hands"].max() < 1e-2
    # eyes look ahead in what a network gives
    assert errors["MPVPE all"].max() < 1


def test_floors_look_at_no_picture_and_the_root_helps(study, floors):
    assert list(floors) == [MEAN, MEAN_TURNED]
    assert floors[MEAN_TURNED]["MPVPE all"].mean() < floors[MEAN]["MPVPE all"].mean()
    truth = study.truth()
    about = truth - np.einsum("v,nvd->nd", study.body.parts.joint_regressor[0], truth)[:, None]
    mean = study._mean_mesh(
        study.bodies[0].of(study.crops(training=True).crops.people.annotation_ids), upright=False
    )
    expected = 1000 * np.linalg.norm(about - mean, axis=-1).mean(1)
    np.testing.assert_allclose(floors[MEAN]["MPVPE all"], expected, rtol=1e-3)
    assert study.bodies[0].pose[:, 0].abs().sum() > 0  # the people's own bodies stay as they are


def test_tables_have_floors_variants_and_true_boxes(study, trained, floors):
    runs, frame = trained
    table = report.mesh_table(frame, floors)
    names = list(table["method"])
    assert names[:2] == [MEAN, MEAN_TURNED]
    assert f"{FULL}, true boxes" in names
    assert f"{CROPS}, true boxes" in names
    assert f"{TOKENS}, true boxes" not in names
    costs = report.cost_table(study, runs / "seed0", 0).set_index("method")
    assert costs.loc[FULL, "parameters (M)"] > costs.loc[TOKENS, "parameters (M)"]
    assert (costs["ms a person, one by one"] > 0).all()
    conditions = report.conditions_table(study, runs, [0])
    people = len(study.crops(training=False))
    counted = [
        int(name.rpartition("(")[2].rstrip(")"))
        for name in conditions.columns[1:]
        if name.startswith("hidden")
    ]
    assert sum(counted) == people


def test_finding_names_the_floor_and_what_does_not_beat_it(trained, floors):
    _, frame = trained
    text = report.mesh_finding(frame, floors)
    assert f"{floors[MEAN]['MPVPE all'].mean():.0f} mm" in text
    assert "One seed" in text
    better = pd.DataFrame(
        [
            {"variant": name, "seed": seed, "MPVPE all": value + seed, "PA-MPVPE hands": value, "root": value}
            for name, value in ((TOKENS, 100.0), (FULL, 80.0), (GLOBAL, 999.0))
            for seed in range(3)
        ]
    )
    text = report.mesh_finding(better, floors)
    assert "as the training is short" not in text
    assert "No better than the mean body: global feature." in text
    assert "'OSX' against 'tokens only': \u221220.00 mm of hands" in text


def test_people_are_shown_over_their_pictures_and_can_be_turned(study, trained):
    runs, _ = trained
    found = study.find(FULL, study.load(run_folder(runs / "seed0", FULL)))
    shown = report.shown_people(study, found)
    assert len(shown.rows) == 3
    row = shown.rows[0]
    assert row.image.shape == (128, 96, 3)
    least = int(np.nanargmin(found.errors["MPVPE all"]))
    np.testing.assert_allclose(row.distances.mean(), found.errors["MPVPE all"][least], rtol=1e-3)
    scene = report.mesh_scene(study, {FULL: shown}, label="meshes")
    element = BeautifulSoup(scene._repr_html_(), "html.parser").select_one("[data-scene]")
    data = json.loads(element["data-scene"])
    assert len(data["figures"]) == 3
    assert len(data["faces"]) == 3 * len(study.body.model.faces)
    assert element.select_one("img") is not None


def test_variants_start_from_the_same_encoder(study):
    first, second = (study.build(name, 0).state_dict() for name in (TOKENS, FULL))
    shared = [name for name in first if name.startswith("encoder.")]
    assert shared
    assert all(torch.equal(first[name], second[name]) for name in shared)
    other = study.build(TOKENS, 1).state_dict()
    assert not torch.equal(first["encoder.task_tokens"], other["encoder.task_tokens"])


def test_trainings_are_those_of_the_profile():
    profile = load_profile("smoke").model_copy(update={"mesh": SECTION})
    assert [training.name for training in trainings(profile)] == list(VARIANTS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 20, "heads": 3}, "heads: expected a divisor of dim 20"),
        ({"encoder_weights": "vit.pth"}, "encoder_weights: of a plain transformer"),
        ({"body_model": "SMPLX_NEUTRAL.npz"}, "expected both or none"),
        ({"decoder": {"width": 20, "groups": 32}}, "num_heads: expected a divisor of width 20"),
        ({"variants": ["a mesh"]}, "variants"),
    ],
)
def test_profiles_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MeshProfile(**(SECTION.model_dump() | changes))


def test_a_missing_licensed_body_is_one_clear_error(tmp_path):
    section = SECTION.model_copy(
        update={"body_model": str(tmp_path / "SMPLX_NEUTRAL.npz"), "body_parts": str(tmp_path)}
    )
    with pytest.raises(FileNotFoundError, match=r"mesh.body_model: .*SMPLX_NEUTRAL.npz.* licensed"):
        study_body(section)


def test_people_without_bodies_are_refused():
    from types import SimpleNamespace

    page = SimpleNamespace(section=SECTION, layout=SimpleNamespace(dataset="coco"))
    with pytest.raises(ValueError, match="page mesh: data set 'coco' has no bodies"):
        MeshStudy.of(page)


def test_known_masks_reach_the_target(study):
    crops = study.crops(training=False)
    known = crops.bodies.pose_known.clone()
    known[:, 22] = False
    masked = replace(crops.bodies, pose_known=known)
    whole, crops.bodies = crops.bodies, masked
    try:
        rows, inputs = next(iter(crops.in_order(torch.device("cpu"))))
        assert not crops.batch(rows, inputs).target.pose_valid[:, -3:].any()
    finally:
        crops.bodies = whole


@pytest.mark.parametrize("variant", [FULL, TOKENS, CROPS])
def test_parts_of_one_person_are_where_the_network_looks(study, trained, variant):
    runs, _ = trained
    crops = study.crops(training=False, variant=variant)
    said, shown = inside.one_person(study.load(run_folder(runs / "seed0", variant)), crops, 2)
    assert said.camera.shape == (1, 3)
    assert shown["image"].shape == (64 * crops.enlarged, 48 * crops.enlarged, 3)
    assert list(shown["boxes"]) == (["true"] if said.boxes is None else ["true", "found"])
    assert (said.boxes is not None) == (variant == FULL)
    seen = next(crops.batches([torch.tensor([2])], torch.device("cpu")))
    np.testing.assert_allclose(shown["boxes"]["true"], crops.enlarged * seen.boxes[0])
    np.testing.assert_allclose(shown["image"] / 255, seen.images[0].permute(1, 2, 0), atol=0.5 / 255 + 1e-6)
