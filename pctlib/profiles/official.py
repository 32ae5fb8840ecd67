"""The section of official weights that are measured."""

from pydantic import Field

from pctlib.profiles.sections import Section


class OfficialWeights(Section):
    """Official weights that are measured."""

    file: str = Field(description="official file or folder of Hugging Face, absolute or below the study")
    dataset_index: int | None = Field(default=None, ge=0, description="of a ViTPose+; 0 is COCO")


class OfficialProfile(Section):
    """Official weights, and the benchmarks that they are measured on."""

    weights: dict[str, OfficialWeights] = Field(
        min_length=1,
        description='by name; that of the tables, such as "ViTPose-B simple", finds their scores',
    )
    datasets: dict[str, str] = Field(
        min_length=1, description="folders of coco, coco-wholebody, ochuman, crowdpose or mpii"
    )
    batch_size: int = Field(default=32, gt=0)
