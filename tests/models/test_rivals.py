"""What holds for every family of rivals alike, at the size of a demo."""

import pytest
import torch

from pctlib.models.representations.heatmap import Heatmap
from pctlib.models.rivals import (
    SMALL,
    deep_pose,
    heatmap_sigma,
    hrformer,
    hrnet,
    prtr,
    rtm_pose,
    simcc_hrnet,
    simple_baseline,
    token_pose_l,
    transpose_h,
)

SIZE, SWAP, B = (64, 96), (1, 0, 2), 2
K = len(SWAP)


@pytest.fixture(scope="module", params=list(SMALL))
def system(request):
    torch.manual_seed(0)
    return SMALL[request.param](SIZE, SWAP)


def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(B, 3, *SIZE, generator=generator)
    keypoints = torch.rand(B, K, 2, generator=generator) * torch.tensor([SIZE[1] - 1, SIZE[0] - 1])
    return images, keypoints, torch.tensor([[2, 1, 0], [1, 2, 2]])


def test_one_step_reaches_every_parameter(system):
    images, keypoints, visible = batch()
    keypoints[0, 2] = float("nan")
    system.train()
    target = system.representation.encode(keypoints, visible)
    losses = system.representation.loss(system(images), target)
    system.zero_grad()
    sum(losses.values()).backward()
    assert all(value.isfinite() and value > 0 for value in losses.values())
    missing = [name for name, p in system.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not missing


@pytest.mark.parametrize("flip_test", [False, True])
def test_poses_are_points_of_the_image_space(system, flip_test):
    poses = system.eval().predict(batch()[0], flip_test=flip_test)
    assert poses.keypoints.shape == (B, K, 2)
    assert poses.scores.shape == (B, K)
    assert poses.keypoints.isfinite().all()
    assert poses.scores.isfinite().all()


def test_one_image_alone_or_in_a_batch_gives_the_same(system):
    images, system = batch()[0], system.eval()
    alone = [system.predict(image).keypoints for image in images.split(1)]
    torch.testing.assert_close(system.predict(images).keypoints, torch.cat(alone), atol=1e-2, rtol=1e-3)


def test_half_precision_gives_nearly_the_same_loss(system):
    images, keypoints, visible = batch()
    target = system.eval().representation.encode(keypoints, visible)
    losses = []
    for half in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses.append(sum(system.representation.loss(system(images), target).values()).float())
    torch.testing.assert_close(*losses, rtol=0.05, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_takes_a_step_in_half_precision(system):
    images, keypoints, visible = (part.cuda() for part in batch())
    system = system.cuda().train()
    with torch.autocast("cuda", torch.bfloat16):
        target = system.representation.encode(keypoints, visible)
        loss = sum(system.representation.loss(system(images), target).values())
    loss.backward()
    system.cpu()
    assert loss.isfinite()
    assert all(parameter.grad is not None for parameter in system.parameters())


@pytest.mark.parametrize("name", ["token_pose_l", "prtr"])
def test_the_transformers_learn_one_batch(name):
    torch.manual_seed(0)
    system = SMALL[name](SIZE, SWAP).train()
    images, keypoints, visible = batch()
    target = system.representation.encode(keypoints, visible)
    optimizer = torch.optim.Adam(system.parameters(), lr=1e-3)
    history = []
    for _ in range(8):
        loss = sum(system.representation.loss(system(images), target).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.8 * history[0]


def test_sigmas_are_the_published_ones():
    assert [heatmap_sigma(size) for size in ((256, 192), (256, 256), (384, 288))] == [2, 2, 3]
    assert heatmap_sigma(SIZE) == 1


def built(make, *args, **options):
    with torch.device("meta"):
        return make(*args, **options)


@pytest.mark.parametrize("coding", ["standard", "dark", "udp"])
def test_hrnet_takes_a_coding(coding):
    representation = built(hrnet, "hrnet_w18_small", (256, 192), coding=coding).representation
    assert isinstance(representation, Heatmap)
    assert representation.coding.kind == coding
    assert representation.coding.heatmap_size == (64, 48)


def test_families_take_other_keypoints_sizes_and_options():
    baseline = built(simple_baseline, "resnet18", (64, 96), SWAP, channels=(16, 8), kernel=2)
    assert [layer.kernel_size for layer in baseline.representation.head.deconv_layers[::3]] == [(2, 2)] * 2
    assert baseline.representation.coding.heatmap_size == (8, 12)
    assert built(deep_pose, "resnet18", (64, 96), SWAP).representation.fc.out_features == 2 * K
    simcc = built(simcc_hrnet, "hrnet_w18_small", (64, 96), SWAP, bins_per_pixel=1.5, sigma=3.0)
    assert simcc.representation.coding.num_bins_xy == (144, 96)
    assert simcc.representation.coding.sigma_xy == (3, 3)
    rtm = built(rtm_pose, "t", (64, 96), SWAP)
    assert rtm.representation.coding.num_bins_xy == (192, 128)
    tokens = built(token_pose_l, "hrnet_w18_small", (64, 96), SWAP, patch_size=(4, 3), depth=3)
    assert tokens.representation.head.patch_size == (4, 3)
    assert len(built(prtr, "hrnet_w18_small", (64, 96), SWAP).representation.head.query_embed) == 100


def test_final_norm_belongs_to_swin():
    sizes = {"channels": (8,), "kernel": 2}
    names = [
        {
            name
            for name, _ in built(
                simple_baseline, "swinv2_tiny_window8_256", (256, 256), **sizes, final_norm=norm
            ).named_parameters()
        }
        for norm in (False, True)
    ]
    assert any(name.endswith("model.norm.weight") for name in names[1])
    assert not any(name.endswith("model.norm.weight") for name in names[0])


@pytest.mark.parametrize("make", [hrnet, transpose_h, simcc_hrnet, prtr])
def test_input_sizes_off_the_grid_are_refused(make):
    with pytest.raises(ValueError, match="multiples"):
        built(make, "hrnet_w18_small", (66, 98), SWAP)(torch.empty(1, 3, 66, 98, device="meta"))


def test_hrformer_passes_its_drop_path_on():
    assert built(hrformer, (64, 96), SWAP, drop_path=0.3).backbone.stages[-1][-1].branches[0][
        1
    ].drop_path.drop_prob == pytest.approx(0.3)
