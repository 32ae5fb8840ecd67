import h5py
import numpy as np
import pytest
import scipy.io

from pctlib.metrics.mpii import GROUPS, evaluate_mpii, pckh_table, read_predictions

N, K = 8, 16


@pytest.fixture
def annotated(rng):
    """Return keypoints, which are labelled, and head sizes of some persons."""
    truth = rng.uniform(50, 400, (N, K, 2)).round()
    labelled = rng.random((N, K)) > 0.2
    return np.where(labelled[..., None], truth, 0.0), labelled, rng.uniform(20, 60, N)


@pytest.fixture
def valid(annotated, tmp_path):
    """Return a file in the layout of `valid.h5`."""
    path = tmp_path / "valid.h5"
    with h5py.File(path, "w") as file:
        file["part"], file["normalize"] = annotated[0], annotated[2]
    return path


def test_table_by_hand():
    truth, guess = np.zeros((2, K, 2)), np.zeros((2, K, 2))
    labelled = np.ones((2, K), dtype=bool)
    guess[0, 9, 0] = 6  # head top: 0.6 of a head
    guess[:, 10, 1] = 5  # right wrist: 0.5, right at the threshold
    labelled[1, 15] = False  # left wrist
    guess[0, 15] = 99
    guess[:, 6:8] = 99  # pelvis and thorax
    table = pckh_table(guess, truth, labelled, normalizer=np.full(2, 10.0))
    row = table["PCKh@0.5"]
    assert row["Head"] == 50
    assert row["Wrist"] == (100 + 0) / 2
    assert row["Knee"] == 100
    assert row["Mean"] == pytest.approx(100 * 25 / 27)  # 27 labelled joints that count, two wrong
    assert row["Plain mean (14 joints)"] == pytest.approx((12 * 100 + 50 + 0) / 14)
    assert row["Plain mean (16 joints)"] == pytest.approx((12 * 100 + 50 + 0) / 16)
    assert table["PCKh@0.1"]["Wrist"] == 0


def test_the_last_row_is_what_hrnet_calls_mean_at_0_1():
    truth = np.zeros((1, K, 2))
    guess = truth + np.array([1.05, 0.0])
    table = pckh_table(guess, truth, np.ones((1, K), dtype=bool), normalizer=np.array([10.0]))
    assert table["PCKh@0.1"]["Mean"] == 0
    assert table["PCKh@0.11"]["Mean"] == 100


def test_groups_are_left_and_right():
    assert GROUPS["Shoulder"] == (13, 12)
    assert GROUPS["Head"] == (9,)
    assert sorted(j for joints in GROUPS.values() for j in joints) == [*range(6), *range(9, 16)]


@pytest.mark.parametrize("origin", [0, 1])
@pytest.mark.parametrize("layout", ["h5", "h5_reversed", "mat", "mat_reversed", "array"])
def test_every_layout_of_predictions(valid, annotated, tmp_path, rng, layout, origin):
    truth, labelled, sizes = annotated
    guess = truth + rng.normal(0, 12, truth.shape)
    preds = guess - (1 - origin)
    stored = preds.transpose(2, 1, 0) if layout.endswith("reversed") else preds
    path = tmp_path / "preds"
    if layout.startswith("h5"):
        with h5py.File(path, "w") as file:
            file["preds"] = stored
    elif layout.startswith("mat"):
        path = tmp_path / "preds.mat"
        scipy.io.savemat(path, {"preds": stored})
    evaluation = evaluate_mpii(valid, stored if layout == "array" else path, pixel_origin=origin)
    expected = pckh_table(guess, truth, labelled, normalizer=sizes)
    for name, row in expected.items():
        assert evaluation.rows[name] == pytest.approx(row, nan_ok=True)
    assert evaluation.counts["joints not annotated left out"] == (~labelled).sum()
    assert evaluation.counts["joints scored"] == labelled.sum()


def test_one_person_in_a_matlab_file(annotated, tmp_path):
    scipy.io.savemat(tmp_path / "p.mat", {"preds": annotated[0][:1]})
    assert read_predictions(tmp_path / "p.mat").shape == (1, K, 2)


def test_the_first_persons_only(valid, annotated):
    truth, labelled, _ = annotated
    longer = np.concatenate([truth, truth])
    with pytest.raises(ValueError, match=r"predictions: 16 persons, but .*valid\.h5 has 8; `first`"):
        evaluate_mpii(valid, longer)
    evaluation = evaluate_mpii(valid, longer, first=3)
    assert evaluation.counts["persons"] == 3
    assert evaluation.counts["joints scored"] == labelled[:3].sum()


def test_a_person_without_head_size_is_counted(annotated, tmp_path):
    sizes = annotated[2] * (np.arange(N) != 2)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["part"], file["normalize"] = annotated[0], sizes
    counts = evaluate_mpii(tmp_path / "v.h5", annotated[0]).counts
    assert counts["persons without a head size left out"] == 1
    assert counts["joints scored"] == np.delete(annotated[1], 2, axis=0).sum()


def test_bad_files_are_named(valid, annotated, tmp_path):
    bad = annotated[0].copy()
    bad[5, 3, 1] = np.nan
    with pytest.raises(ValueError, match="predictions: preds of person 5 has a number that is not finite"):
        evaluate_mpii(valid, bad)
    with pytest.raises(ValueError, match=r"preds has shape \(8, 14, 2\), expected \[N, 16, 2\]"):
        evaluate_mpii(valid, bad[:, :14])
    with pytest.raises(ValueError, match="pixel_origin: expected 0 or 1, got 2"):
        evaluate_mpii(valid, annotated[0], pixel_origin=2)
    with pytest.raises(ValueError, match=r"valid\.h5: field preds is missing"):
        evaluate_mpii(valid, valid)
    (tmp_path / "text.mat").write_text("nothing of the kind")
    with pytest.raises(ValueError, match=r"text\.mat"):
        evaluate_mpii(valid, tmp_path / "text.mat")
    scipy.io.savemat(tmp_path / "whole.mat", {"preds": annotated[0]}, do_compression=True)
    whole = (tmp_path / "whole.mat").read_bytes()
    for kept in (0, 100, 140, len(whole) // 2, len(whole) - 3):
        (tmp_path / "cut.mat").write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=r"cut\.mat"):
            evaluate_mpii(valid, tmp_path / "cut.mat")
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        evaluate_mpii(valid, tmp_path / "none.h5")
    with h5py.File(tmp_path / "short.h5", "w") as file:
        file["part"], file["normalize"] = annotated[0][:, :14], annotated[2]
    with pytest.raises(ValueError, match=r"short\.h5: expected part \[N, 16, 2\]"):
        evaluate_mpii(tmp_path / "short.h5", annotated[0])


def test_golden_table(golden):
    recorded = golden("metrics")
    i = {name: value.double().numpy() for name, value in recorded.inputs.items()}
    sizes = i["pck/head_size"]
    sizes[0] = 30  # as recorded
    table = pckh_table(i["pck/pred"], i["pck/gt"], i["pck/mask"] > 0, normalizer=sizes)
    values = [*list(table["PCKh@0.5"].values())[:8], table["PCKh@0.1"]["Mean"]]
    np.testing.assert_allclose(values, recorded.outputs["pck/mpii_table"].numpy(), rtol=1e-6)


def test_real_truth_against_itself(shared):
    path = shared / "data/mpii-poses/valid.h5"
    with h5py.File(path) as file:
        truth = file["part"][()]
    evaluation = evaluate_mpii(path, truth)
    assert evaluation.counts["persons"] == 2000
    assert set(evaluation.metrics.values()) == {100.0}
    assert evaluate_mpii(path, truth - 1, pixel_origin=0).metrics == evaluation.metrics
