import math

import pytest

from pctlib.models.published import Published
from pctlib.reporting.complexity import complexity_table, published_number


def test_a_row_a_published_number():
    frame = complexity_table(["rtmpose_t_wholebody_256x192", "simple_baseline_resnet152_256x192"])
    assert list(frame.system) == ["rtmpose_t_wholebody_256x192", "simple_baseline_resnet152_256x192"]
    assert list(frame.quantity) == ["GFLOPs", "parameters (M)"]
    assert list(frame.published) == [0.5, 60]
    assert math.isnan(frame.corrected[0])
    assert frame.corrected[1] == 68.6
    assert frame.measured[1] == frame.plain[1] == pytest.approx(68.635, abs=1e-3)
    assert "classifier" in frame.remark[1]
    assert "DWPose" in frame.built[0]


def test_counting_as_published_and_plainly_differ():
    frame = complexity_table(["simple_baseline_resnet50_wholebody_384x288"])
    assert frame.measured[0] == pytest.approx(20.4, rel=0.01)
    assert frame.plain[0] == pytest.approx(12.41, abs=0.01)


def test_unknown_names_and_rows_are_refused():
    with pytest.raises(ValueError, match="got 'resnet'"):
        complexity_table(["resnet"])
    with pytest.raises(ValueError, match="expected one row"):
        published_number(Published("coco_val_vitpose", {"method": "HRNet"}, "parameters", 1e6))
