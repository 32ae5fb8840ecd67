"""What label, teacher and students say of one joint."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pctlib.data.augmentation import Inputs
from pctlib.models.estimator import PoseEstimator
from pctlib.study.inside import trained_estimators
from pctlib.study.pages.knowledge_token.study import KnowledgeTokenStudy
from pctlib.study.pages.knowledge_token.trainings import NONE, OUTPUT, TEACHER


def trained_models(study: KnowledgeTokenStudy, runs: Path) -> dict[str, PoseEstimator]:
    """Return the teacher, the student without help and the one taught its heatmaps, on the CPU.

    Those whose training failed are left out; a teacher that the profile gives is read from its own file.

    Args:
        study: that trained them.
        runs: of one seed; has a folder for each variant.
    """
    given = {TEACHER: study.new_teacher(seed=0).cpu().eval()} if study.section.teacher_weights else {}
    return given | trained_estimators(runs, [v for v in (TEACHER, NONE, OUTPUT) if v not in given])


@torch.inference_mode()
def one_joint(models: Mapping[str, PoseEstimator], seen: Inputs, joint: int) -> dict[str, Tensor]:
    """Return the heatmap [h, w] of one joint that is the label, and those that models give.

    Args:
        models: name -> estimator with heatmaps, all written alike.
        seen: inputs of one person, B = 1.
        joint: which.
    """
    head = next(iter(models.values())).representation
    maps = {"label": head.encode(seen.keypoints, seen.visible).heatmaps}
    maps |= {name: model(seen.images).heatmaps for name, model in models.items()}
    return {name: heatmaps[0, joint] for name, heatmaps in maps.items()}
