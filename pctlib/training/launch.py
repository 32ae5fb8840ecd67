"""Starting a training stage in one process or several, from a notebook or a script."""

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from accelerate import PartialState, notebook_launcher
from accelerate.utils import PrepareForLaunch, patch_environment
from torch.multiprocessing import start_processes


def launch(stage: Callable[..., Any], *args: Any, num_processes: int = 1, **kwargs: Any) -> Any:
    """Call a training stage, in several processes if asked to, and return its result.

    With GPUs this is Accelerate's `notebook_launcher`, one process a GPU; without, as many CPU processes
    over gloo. Under `accelerate launch` the processes are already there, and the stage is simply called.

    Args:
        stage: a function of `pctlib.study` that ends in `pctlib.training.loop.train`.
        args: its arguments.
        num_processes: how many.
        kwargs: its keyword arguments.

    Returns:
        What the stage returns. After several processes the finished run is read back in this one.

    Raises:
        ValueError: if there are fewer GPUs than processes, or the number is not positive.
    """
    if num_processes < 1:
        raise ValueError(f"num_processes: expected 1 or more, got {num_processes}")
    gpus = torch.cuda.device_count()
    if 0 < gpus < num_processes:
        raise ValueError(f"num_processes: {num_processes} were asked for but there are {gpus} GPUs")
    if num_processes > 1 and not _launched_already():
        job = partial(_call, stage, args, kwargs)
        if gpus:
            notebook_launcher(job, num_processes=num_processes, use_port=str(_free_port()))
        else:
            _launch_on_cpu(job, num_processes)
    return stage(*args, **kwargs)


def _launched_already() -> bool:
    return PartialState._shared_state != {} and PartialState().num_processes > 1


def _call(stage: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> None:
    """Call the stage and drop its result, which cannot travel between processes."""
    stage(*args, **kwargs)


def _launch_on_cpu(job: Callable[[], None], num_processes: int) -> None:
    # spawn: a process forked from one that has used OpenMP threads can hang
    with patch_environment(
        world_size=num_processes,
        master_addr="127.0.0.1",
        master_port=str(_free_port()),
        accelerate_use_cpu="yes",
        omp_num_threads=str(max(1, torch.get_num_threads() // num_processes)),
    ):
        launcher = PrepareForLaunch(job, distributed_type="MULTI_CPU")
        start_processes(launcher, nprocs=num_processes, start_method="spawn")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
