"""At which scales the statistics of patches are computed."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator


class StatisticsSettings(BaseModel):
    """configs/statistics.yaml; lengths are in stored pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scales: tuple[PositiveFloat, ...] = Field(default=(1.0, 2.0, 4.0), min_length=1)
    """Standard deviations of the Gaussians under which gradients and Laplacians are taken, finest first."""
    distances: tuple[PositiveInt, ...] = Field(default=(1, 3), min_length=1)
    """Distances of the pairs of pixels that co-occurrence counts."""
    gray_levels: int = Field(default=16, ge=2, le=256)
    """Levels between a channel's 1 % and 99 % quantile in the patch, for co-occurrence."""
    most_patches: PositiveInt | None = 20000
    """Of a larger cohort only so many patches are measured; null = all."""
    threads: PositiveInt = 2

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name, values in (("scales", self.scales), ("distances", self.distances)):
            if list(values) != sorted(set(values)):
                raise ValueError(f"{name} {list(values)}: give each once, in ascending order")
        return self
