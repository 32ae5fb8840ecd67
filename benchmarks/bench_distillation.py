"""DWPose's stage one beside a student that learns from labels alone: what the teacher costs a step."""

import torch

from benchmarks.common import Row, cpu_seconds
from pctlib.distillation.dwpose import StudentDistillation
from pctlib.models.rivals import rtm_pose

STUDENT, TEACHER, BATCH, SIZE = "t", "m", 4, (256, 192)


def benchmark() -> list[Row]:
    """Return the row: forward and backward of both, on the same batch with labels."""
    torch.manual_seed(0)
    student, teacher = (rtm_pose(size, SIZE) for size in (STUDENT, TEACHER))
    pair = StudentDistillation(student, teacher, max_epochs=1).train()
    images = torch.randn(BATCH, 3, *SIZE)
    keypoints = torch.rand(BATCH, 133, 2) * (SIZE[1] - 1)
    target = student.representation.encode(keypoints, torch.full((BATCH, 133), 2))

    def together() -> None:
        sum(pair.losses(images, target, epoch=0).values()).backward()

    def alone() -> None:
        sum(student.representation.loss(student(images), target).values()).backward()

    name = f"stage-one step, RTMPose-{STUDENT} beside RTMPose-{TEACHER}, {BATCH} of {SIZE[0]}x{SIZE[1]}"
    return [Row(name, cpu_seconds(together), cpu_seconds(alone), note="step of the student alone")]
