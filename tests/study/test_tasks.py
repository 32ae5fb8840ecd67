"""Training an estimator in two phases of augmentation."""

import torch
from helpers.study_people import make_people

from pctlib.models.cspnext import CSPNeXt
from pctlib.models.estimator import PoseEstimator
from pctlib.models.representations.simcc import SimCC
from pctlib.profiles.profile import load_profile
from pctlib.profiles.sections import AugmentationProfile
from pctlib.study.crops import Crops
from pctlib.study.tasks import EstimatorTask
from pctlib.training.plan import plan_epoch
from pctlib.training.settings import TrainingSettings

CPU = torch.device("cpu")
STRONG = AugmentationProfile(rotation_deg=80, rotation_probability=1)
NONE = AugmentationProfile(flip=0, scale=0, rotation_deg=0, color=0)
SETTINGS = TrainingSettings(epochs=3, batch_size=6, learning_rate=0.001)


def test_the_last_epochs_have_an_augmentation_of_their_own(tmp_path):
    profile = load_profile("smoke")
    crops = Crops(make_people(tmp_path, 6), profile, training=True)
    backbone = CSPNeXt(0.167, 0.0625)
    head = SimCC.linear(
        backbone.channels[-1], crops.people.skeleton.flip_permutation, input_size=profile.crop.input_size
    )
    model = PoseEstimator(backbone, head)
    options = {"val_crops": crops, "augmentation": STRONG, "identity": {}}
    task = EstimatorTask(model, crops, **options, late=(2, NONE))
    plain = next(crops.in_order(CPU))
    assert not list(task.batches([], CPU))
    for epoch, is_plain in ((1, False), (2, True)):
        (step,) = plan_epoch(6, SETTINGS, seed=0, epoch=epoch)
        (inputs,) = task.batches([step], CPU)
        same = torch.allclose(inputs.keypoints, plain.keypoints[step.indices], atol=1e-3)
        assert same == is_plain
    (step,) = plan_epoch(6, SETTINGS, seed=0, epoch=2)
    (inputs,) = EstimatorTask(model, crops, **options).batches([step], CPU)
    assert not torch.allclose(inputs.keypoints, plain.keypoints[step.indices], atol=1e-3)
