"""What tokenizers that differ in hiding make of poses with hidden joints."""

from torch import Tensor

from pctlib.study.page import OpenPage
from pctlib.study.pages.choices.changes import BASE
from pctlib.study.pages.choices.trainings import TOKENIZERS
from pctlib.study.poses import Poses
from pctlib.study.stages.guided import load_tokenizers
from pctlib.study.stages.tokenizer import reconstruct
from pctlib.study.variants import run_folder

HIDING = ("no joint hidden", BASE, "half the joints hidden")


def guesses(page: OpenPage, poses: Poses, hidden: Tensor) -> dict[str, Tensor]:
    """Return what the trained ones of `HIDING` give back of poses, [N, K, D] each, by name.

    Args:
        page: whose first seed's tokenizers are read.
        poses: N poses, with their images if the profile's tokenizer is guided.
        hidden: [N, K] bool, joints that the encoder is not given.
    """
    runs = page.folder / TOKENIZERS / f"seed{page.seed}"
    folders = {name: run_folder(runs, name) for name in HIDING}
    tokenizers = load_tokenizers(folders, page.run("heatmap", page.seed))
    return {name: reconstruct(model, poses, hidden=hidden)[0] for name, model in tokenizers.items()}
