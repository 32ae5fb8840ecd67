"""What a training run is told."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TrainingSettings(BaseModel):
    """What a training run is told; defaults are those of a short run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0, description="samples of one optimiser step, over all processes")
    learning_rate: float = Field(gt=0)
    final_learning_rate: float = Field(default=1e-5, ge=0, description="at the end of the cosine")
    decay_epochs: tuple[int, ...] = Field(
        default=(), description="after each the rate falls to a tenth; none: half a cosine"
    )
    flat_share: float = Field(default=0.0, ge=0, lt=1, description="of the run, before the cosine starts")
    warmup_steps: int = Field(default=100, ge=0)
    weight_decay: float = Field(default=0.05, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    max_grad_norm: float | None = Field(default=None, gt=0)
    accumulation_steps: int = Field(default=1, gt=0)
    average_decay: float | None = Field(default=None, gt=0, lt=1, description="EMA of the weights")
    average_warmup_steps: int = Field(default=0, ge=0, description="over which that decay rises")
    mixed_precision: str = Field(default="no", pattern="^(no|bf16|fp16)$")
    compile: bool = False
    evaluate_every: int = Field(default=1, gt=0, description="epochs between evaluations")
    checkpoint_seconds: float = Field(default=60.0, ge=0)

    @model_validator(mode="after")
    def _one_schedule(self) -> "TrainingSettings":
        if self.decay_epochs and self.flat_share:
            raise ValueError("flat_share: of a cosine, but decay_epochs asks for stairs instead")
        return self
