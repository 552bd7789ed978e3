"""Settings of the tune stage: which settings of a method are searched, where, and how often."""

from typing import Literal, Self

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipeline.config import Settings

Scalar = bool | int | float | str


class Range(Settings):
    """Where one setting is searched: from `low` to `high`, among `choices`, or by its legal bounds."""

    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    log: bool = False
    """Evenly by the logarithm."""
    whole: bool = False
    """Integers only."""
    choices: tuple[Scalar, ...] | None = Field(default=None, min_length=1)
    share_of_bounds: tuple[float, float] | None = None
    """Of beta alone: how far from -1 (0) to the largest beta that c and the groups allow (1)."""
    largest_position: PositiveFloat = 3.0
    """With share_of_bounds: never above this c (beta + 1), where weak bias would allow more."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        between = self.low is not None or self.high is not None
        if [between, self.choices is not None, self.share_of_bounds is not None].count(True) != 1:
            raise ValueError(
                "give low and high, or choices, or share_of_bounds "
                "(null takes back what configs/tune.yaml has)"
            )
        if between and (self.low is None or self.high is None or self.low > self.high):
            raise ValueError("give low and high, low first")
        if (self.log or self.whole) and not between:
            raise ValueError(
                "log and whole are for low and high (false takes back what configs/tune.yaml has)"
            )
        if self.log and not (self.low and self.low > 0):
            raise ValueError("log needs low above 0")
        if self.whole and not all(float(x).is_integer() for x in (self.low or 0, self.high or 0)):
            raise ValueError("whole needs integers as low and high")
        if self.share_of_bounds and not 0 <= self.share_of_bounds[0] <= self.share_of_bounds[1] <= 1:
            raise ValueError("share_of_bounds are two numbers from 0 to 1, the lower first")
        return self


class TuneSettings(Settings):
    """configs/tune.yaml."""

    trials: PositiveInt = 20
    """Trainings of the search at most, failed ones included; the references come on top."""
    startup: NonNegativeInt = 6
    """Trials drawn at random before the sampler learns from the finished ones."""
    sampler: Literal["tpe", "random"] = "tpe"
    seed: NonNegativeInt = 0
    """Of the proposals; every training has the train stage's own seed."""
    epochs: PositiveFloat | None = None
    """Budget of every training; none: the train stage's."""
    references: tuple[str, ...] = ("erm", "group_resampling")
    """Methods trained once each, to see the search beside them."""
    space: dict[str, dict[str, Range]] = Field(default_factory=dict)
    """What is searched, by algorithm and setting."""

    @model_validator(mode="after")
    def _bounds_of_beta(self) -> Self:
        for algorithm, ranges in self.space.items():
            wrong = [name for name, each in ranges.items() if each.share_of_bounds and name != "beta"]
            if wrong:
                raise ValueError(
                    f"space.{algorithm}: share_of_bounds is for beta, not for {', '.join(wrong)}"
                )
        return self
