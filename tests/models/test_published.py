"""Every parameter and GFLOPs column of the tables, for every system that is built here."""

import functools

import pytest
import torch

from pctlib.complexity import MultiplyAdds, count_flops, count_parameters
from pctlib.models.published import RIVALS, Published
from pctlib.models.rivals import simple_baseline
from pctlib.reporting.complexity import published_number
from pctlib.reporting.tables import published

NUMBERS = [(name, number) for name, rival in RIVALS.items() for number in rival.published]


def on_meta(build):
    with torch.device("meta"):
        return build()


@functools.cache
def network(build, *args, **options):
    return on_meta(functools.partial(build, *args, **options))


def system(name):
    """Return the network of a rival; those that differ in their coding or drop path alone share one."""
    build = RIVALS[name].build
    options = {key: value for key, value in build.keywords.items() if key not in ("coding", "drop_path")}
    return network(build.func, *build.args, **options)


@functools.cache
def flops_of(module, size):
    return count_flops(module, size)


def parameters(name):
    return count_parameters(system(name))


def flops(name):
    return flops_of(system(name), RIVALS[name].input_size)


def measured(name, number):
    counts_parameters = number.counted == "parameters"  # the other count takes a second
    return number.measured(parameters(name), MultiplyAdds(0, 0) if counts_parameters else flops(name))


def half_a_digit(value):
    """Return half of one in the last printed place: what rounding may have taken."""
    return 0.5 if value == int(value) and value > 20 else 0.05


@pytest.mark.parametrize(("name", "number"), NUMBERS, ids=[f"{n}-{p.counted}" for n, p in NUMBERS])
def test_built_as_published(name, number):
    table = published_number(number)
    right = table if number.corrected is None else number.corrected
    assert measured(name, number) == pytest.approx(right, rel=0.02, abs=half_a_digit(table))


@pytest.mark.parametrize(("name", "number"), NUMBERS, ids=[f"{n}-{p.counted}" for n, p in NUMBERS])
def test_what_differs_from_a_plain_count_is_said(name, number):
    plain = number.counted == "parameters" or (number.counted, number.unit) == ("layers and attention", 1e9)
    if not plain or number.extra or number.corrected is not None:
        assert number.remark
    if number.corrected is not None:  # else the table was right after all
        assert number.corrected != pytest.approx(published_number(number), rel=0.02)


# What the papers of the systems themselves say, more exactly than the tables: millions of parameters.
PAPERS = {
    "simple_baseline_resnet152_256x192": 68.6,
    "hrnet_w32_256x192": 28.5,
    "hrnet_w48_256x192": 63.6,
    "token_pose_l_d24_256x192": 27.5,
    "token_pose_l_d24_384x288": 29.8,
    "hrformer_b_256x192": 43.2,
    "prtr_hrnet_w32_384x288": 57.2,
}


@pytest.mark.parametrize("name", PAPERS)
def test_parameters_to_the_digit_of_the_papers(name):
    assert round(parameters(name) / 1e6, 1) == PAPERS[name]


def test_transpose_has_the_parameters_of_the_paper_with_its_constant_positions():
    assert round((parameters("transpose_h_a6_256x192") + 64 * 48 * 96) / 1e6, 1) == 17.5


@pytest.mark.parametrize("name", ["dark_hrnet_w48_384x288", "udp_hrnet_w48_384x288"])
def test_dark_and_udp_change_no_weight(name):
    states = [
        {key: value.shape for key, value in on_meta(RIVALS[other].build).state_dict().items()}
        for other in (name, "hrnet_w48_384x288")
    ]
    assert states[0] == states[1]


def test_heads_on_hrnet_add_what_they_hold():
    width, K = 48, 17
    heatmap, simcc = parameters("hrnet_w48_384x288"), parameters("simcc_hrnet_w48_384x288")
    assert simcc - heatmap == (96 * 72 + 1) * (432 + 576)
    backbone = system("hrnet_w48_384x288").backbone
    assert heatmap - count_parameters(backbone) == width * K + K


def test_counters_that_explain_a_published_number_are_those_of_the_release():
    # The counter of HRNet's release: transposed convolutions at the cells of their output, over 2**30.
    total = flops("simple_baseline_resnet152_384x288").total
    transposed = 16 * 256 * (12 * 9) * (2048 + 4 * 256 + 16 * 256)
    assert (total + 3 * transposed) / 2**30 == pytest.approx(35.6, rel=0.01)  # Xiao et al. 2018
    assert flops("hrnet_w48_384x288").total / 2**30 == pytest.approx(32.9, rel=0.01)  # Sun et al. 2019


def test_the_published_count_of_swin_belongs_to_smaller_images():
    smaller = network(simple_baseline, "swin_base_patch4_window7_224", (224, 224))
    assert count_flops(smaller, (224, 224)).gflops == pytest.approx(16.6, rel=0.02)


def test_swin_by_its_formula():
    T, C = 64 * 64, 128  # cells and channels of the first stage
    blocks = sum(
        depth * 12 * C * C * T for depth in (2, 2, 18, 2)
    )  # a stage has T / 4^i cells, C 2^i channels
    merging = 3 * 2 * C * C * T
    embedding, head = 48 * C * T, 64 * 4 * 32 * (1024 + 4 * 32 + 16 * 32) + 17 * 32 * T
    positions = sum(
        depth * (2 * window - 1) ** 2 * (2 * 512 + 512 * heads)
        for depth, window, heads in zip((2, 2, 18, 2), (16, 16, 16, 8), (4, 8, 16, 32), strict=True)
    )
    counted = flops("simple_baseline_swin_b_256x256")
    assert counted.layers == blocks + merging + embedding + head + positions
    windows = zip((2, 2, 18, 2), (256, 256, 256, 64), strict=True)
    assert counted.attention == sum(
        depth * 2 * (T >> 2 * stage) * cells * (C << stage) for stage, (depth, cells) in enumerate(windows)
    )


def test_no_row_of_a_family_is_left_out():
    families = {
        "SimpleBaseline",
        "PRTR",
        "TransPose",
        "TokenPose",
        "HRNet",
        "DARK",
        "UDP",
        "SimCC",
        "HRFormer",
        "ViTPose",
    }
    others = {"PCT"}  # built with Swin-Base alone
    for table, column in (("coco_body_pct_table1", "input_size"), ("coco_val_vitpose", "input_resolution")):
        frame = published(table)
        rows = frame[frame.method.str.split("-").str[0].isin(families)]
        built = {
            (number.row["method"], number.row["backbone"], number.row[column])
            for _, number in NUMBERS
            if number.table == table and number.row["method"] not in others
        }
        rows = rows[~rows.method.str.contains("multi-dataset")]
        assert built == set(zip(rows.method, rows.backbone, rows[column], strict=True))


def test_a_number_counts_what_it_says():
    row, counted = {"method": "x"}, MultiplyAdds(layers=3 * 2**30, attention=2**30)
    assert Published("t", row, "parameters", 1e6).measured(5_000_000, counted) == 5
    assert Published("t", row, "layers", 2**30).measured(0, counted) == 3
    assert Published("t", row, "layers and attention", 2**30, extra=0.5).measured(0, counted) == 4.5
    assert Published("t", row, "layers and attention", 1e9).measured(0, counted) == 4 * 1.073741824
