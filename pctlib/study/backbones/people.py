"""Many procedural people, made and cut out by as many processes as there are: one shard a process."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from pctlib.data.patches import Patches
from pctlib.data.people import People, concatenate
from pctlib.data.procedural.generate import FORMAT, generate
from pctlib.data.procedural.reader import read_procedural
from pctlib.data.procedural.scene import render_person
from pctlib.io import write_atomic
from pctlib.profiles.backbones import StartPeopleProfile
from pctlib.profiles.sections import CropProfile

_SPLIT = "people"
MARGIN = 1.5  # of the patches, as where a study trains


class Shard(NamedTuple):
    """One data set of procedural people: its folder, its seed and its number of pictures."""

    folder: Path
    seed: int
    count: int


def shards_of(people: StartPeopleProfile, root: str | Path) -> list[Shard]:
    """Return the shards to learn from, below a folder named by what decides their pictures."""
    folder = Path(root) / f"{people.image_size}px-occlusion{people.occlusion:g}-v{FORMAT}"
    return [Shard(folder / f"seed{seed}-{count}", seed, count) for seed, count in people.shards.items()]


def val_shard(people: StartPeopleProfile, root: str | Path) -> Shard:
    """Return the shard to measure on."""
    folder = Path(root) / f"{people.image_size}px-occlusion{people.occlusion:g}-v{FORMAT}"
    return Shard(folder / f"seed{people.val_seed}-{people.val_images}", people.val_seed, people.val_images)


def make_shards(
    shards: list[Shard], people: StartPeopleProfile, crop: CropProfile, *, workers: int, progress: bool = True
) -> None:
    """Render shards and cut their people out, where that is not done.

    A picture depends on its seed and number alone, so the files do not depend on the number of processes,
    and a run that was stopped goes on where it was.

    Args:
        shards: what to make.
        people: size of the pictures and occlusion.
        crop: of the network input the patches are for.
        workers: processes.
        progress: show a progress bar.
    """
    missing = [shard for shard in shards if not _pixel_file(shard, crop).exists()]
    tasks = [(shard, people.image_size, people.occlusion, crop) for shard in missing]
    if missing:
        render_person(missing[0].seed, 0, image_size=64)  # compiles once, for all processes
    with tqdm(total=sum(shard.count for shard in missing), unit="picture", disable=not progress) as bar:
        for shard, _ in zip(missing, _run(tasks, workers), strict=True):
            bar.update(shard.count)


def _run(tasks: list[tuple], workers: int) -> Iterator[None]:
    if workers <= 1 or len(tasks) <= 1:
        yield from map(_make_shard, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), context, torch.set_num_threads, (1,)) as pool:
        yield from pool.map(_make_shard, tasks)


def _make_shard(task: tuple[Shard, int, float, CropProfile]) -> None:
    """Render a shard and write the patches of its people as one array."""
    shard, image_size, occlusion, crop = task
    options = {"image_size": image_size, "occlusion": occlusion, "progress": False}
    generate(shard.folder, split=_SPLIT, count=shard.count, seed=shard.seed, **options)
    patches = Patches(read_shard(shard), crop.input_size, padding=crop.padding, margin=MARGIN)
    # Order and decoding are those of `Patches.cached`; the array is read as it is.
    pixels = np.stack([patches[row]["patch"].numpy() for row in range(len(patches))])

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:
            np.save(stream, pixels)

    write_atomic(_pixel_file(shard, crop), write, flush=False)


def read_shard(shard: Shard) -> People:
    """Read the people of a shard that was made; errors as in `read_procedural`."""
    return read_procedural(shard.folder, _SPLIT)


def load_shards(shards: list[Shard], crop: CropProfile, device: torch.device) -> tuple[People, Tensor]:
    """Return the people of all shards and their patches [N, 3, P, P] uint8 on a device.

    Raises:
        FileNotFoundError: if a shard was not made.
        ValueError: if patches are not of their people.
    """
    parts = [read_shard(shard) for shard in shards]
    arrays = [np.load(_pixel_file(shard, crop), mmap_mode="r", allow_pickle=False) for shard in shards]
    for shard, part, array in zip(shards, parts, arrays, strict=True):
        if len(part) != len(array):
            raise ValueError(f"{shard.folder}: patches of {len(array)} people, annotations of {len(part)}")
    pixels = torch.empty(sum(map(len, parts)), *arrays[0].shape[1:], dtype=torch.uint8, device=device)
    start = 0
    for array in arrays:
        pixels[start : start + len(array)] = torch.from_numpy(np.array(array))
        start += len(array)
    return concatenate(parts), pixels


def _pixel_file(shard: Shard, crop: CropProfile) -> Path:
    return shard.folder / f"patches-{crop.input_height}x{crop.input_width}-padding{crop.padding:g}.npy"
