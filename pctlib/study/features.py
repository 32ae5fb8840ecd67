"""Predicting from the features of a frozen backbone, which run once for any number of heads."""

from torch import Tensor, nn

from pctlib.inference.predict import to_image
from pctlib.models.representations.base import Representation
from pctlib.study.crops import Crops
from pctlib.study.predictions import Predictions
from pctlib.study.tasks import Features, decode_features, extract_features


def mirrored_features(backbone: nn.Module, crops: Crops, **options: object) -> Features:
    """Return the features of the mirrored crops, for the flip test; `options` are `extract_features`'s."""
    return extract_features(_OnMirrored(backbone), crops, **options)


class _OnMirrored(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.backbone(images.flip(3))


def predict_from_features(
    head: Representation, features: Features, *, mirrored: Features | None = None
) -> Predictions:
    """Return the poses a representation in 2D reads from features, in image pixels.

    Arguments and errors as in `decode_features`.
    """
    found = decode_features(head, features, mirrored=mirrored)
    affine = features.affine.to(found.keypoints.device)
    return Predictions(to_image(found.keypoints, affine), found.scores.float().cpu().numpy())
