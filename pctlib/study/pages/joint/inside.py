"""One person read by the decoders of several data sets."""

from pathlib import Path

from pctlib.models.estimator import PoseEstimator
from pctlib.study.pages.joint.study import JointStudy
from pctlib.study.pages.joint.trainings import EXPERTS, JOINT
from pctlib.study.runs import WEIGHTS, load_run
from pctlib.study.variants import run_folder


def estimators(study: JointStudy, runs: Path) -> dict[str, PoseEstimator]:
    """Return the shared backbone with the decoder of each data set, by its name, in eval mode on the CPU.

    That of `JOINT`, or, where its training failed, of `EXPERTS`; none if neither is trained.

    Args:
        study: that trained them.
        runs: of one seed; has a folder for each variant.
    """
    for variant in (JOINT, EXPERTS):
        folder = run_folder(runs, variant)
        if (folder / WEIGHTS).is_file():
            model = load_run(folder)
            return {name: model.of_dataset(number) for number, name in enumerate(study.names)}
    return {}
