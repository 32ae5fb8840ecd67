import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from pctlib.inference.compile import CompiledEstimator, compile_for_inference
from pctlib.models.estimator import PoseEstimator
from pctlib.models.vit import ViT, ViTSize
from pctlib.models.vitpose import vitpose_head, vitpose_heatmap
from pctlib.skeletons import COCO

SIZE = (32, 48)
matmul = torch.backends.mkldnn.matmul


@pytest.fixture
def model():
    torch.manual_seed(0)
    backbone = ViT(ViTSize(24, 1, 3), SIZE)
    head = vitpose_head("classic", 24, COCO.num_keypoints)
    nn.init.normal_(head.final_layer.weight)  # published: so small that poses are decoded from rounding
    return PoseEstimator(backbone, vitpose_heatmap(head, COCO.flip_permutation, input_size=SIZE)).eval()


def test_predictions_of_the_model_with_and_without_flip_test(model):
    images = torch.randn(2, 3, *SIZE)
    counters.clear()
    compiled = CompiledEstimator(model)
    for flip_test in (False, True):
        expected, found = (each.predict(images, flip_test=flip_test) for each in (model, compiled))
        torch.testing.assert_close(found.keypoints, expected.keypoints, rtol=0, atol=0.05)  # px, of noise
        torch.testing.assert_close(found.scores, expected.scores)
    assert counters["stats"]["unique_graphs"] == 2  # batches of two and of four
    torch.testing.assert_close(compiled(images).heatmaps, model(images).heatmaps)
    assert not compiled(images).heatmaps.requires_grad
    assert not compiled.training


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
def test_weights_of_matrix_products_become_constants():
    counters.clear()
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    inputs = torch.randn(5, 6)
    expected = network(inputs)
    torch.testing.assert_close(compile_for_inference(network)(inputs), expected)
    assert counters["inductor"]["mkldnn_linear_weight_pack_matcher_count"] == 2


def test_settings_of_others_come_back_whatever_happens():
    seen, before = [], matmul.fp32_precision

    class Failing(nn.Module):
        def forward(self, images):
            seen.append(matmul.fp32_precision)
            raise RuntimeError("no such pose")

    with pytest.raises(RuntimeError, match="no such pose"):
        compile_for_inference(Failing().eval())(torch.zeros(1))
    assert seen
    assert matmul.fp32_precision == before
    assert not torch._inductor.config.freezing


def test_a_network_in_training_is_refused(model):
    with pytest.raises(ValueError, match=r"network: is in training mode; call eval\(\)"):
        compile_for_inference(model.train())
