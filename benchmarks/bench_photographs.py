"""A folder of photographs beside the bare network: what reading, cutting, drawing and writing add."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.common import Row, turns
from pctlib.inference.folder import FolderOptions, predict_folder
from pctlib.inference.network import torch_network
from pctlib.inference.predictor import Predictor
from pctlib.inference.sources import find_sources
from pctlib.models.vitpose import vitpose
from pctlib.skeletons import COCO
from pctlib.study.runs import Trained

PICTURES, SIZE = 16, (480, 640)


def benchmark(*, size: str = "b", repeats: int = 3) -> list[Row]:
    """Return one row: a folder of photographs of one person each, and the network on their crops."""
    torch.manual_seed(0)
    model = vitpose(size, COCO.flip_permutation).eval()
    trained = Trained(model, (256, 192), udp=True, skeleton=COCO)
    predictor = Predictor(torch_network(trained, COCO, device=torch.device("cpu"), flip_test=False))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photographs(folder / "in")
        sources = find_sources([folder / "in"])
        crops = np.stack([predictor.cut(s.file, whole_image=True).crops[0] for s in sources])
        number = iter(range(10**6))

        def predict() -> None:
            out = folder / f"out{next(number)}"  # what is done already would not be done again
            predict_folder(predictor, sources, out, FolderOptions(whole=True, progress=False))

        seconds = turns(
            {"folder": predict, "network": lambda: predictor.network.find(crops)}, repeats=repeats
        )
    share = 100 * (seconds["folder"] / seconds["network"] - 1)
    title = f"folder of {PICTURES} photographs {SIZE[1]}x{SIZE[0]}, ViTPose-{size.upper()}, drawn"
    note = f"the network alone; the folder takes {share:.0f} % more"
    return [Row(title, seconds["folder"], seconds["network"], note=note)]


def write_photographs(folder: Path) -> None:
    """Write JPEGs with the detail of photographs: smooth noise, fine noise on top."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        coarse = Image.fromarray(rng.integers(0, 256, (SIZE[0] // 32, SIZE[1] // 32, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC), np.int16)
        pixels = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.jpg", quality=92)
