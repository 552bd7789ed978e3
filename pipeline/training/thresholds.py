"""Settings of the attribute stage, which the study shares."""

from collections.abc import Iterable

from pydantic import Field, field_validator

from models.data.attributes import ThresholdRule
from patching.errors import ConfigError
from pipeline.artifacts import name_parts, require_name, run_name
from pipeline.config import Settings
from pipeline.training.layout import GIVEN


class AttributeSettings(Settings):
    """Settings of the attribute stage."""

    thresholds: dict[str, ThresholdRule] = Field(min_length=1)
    """Thresholds by name; a quantile looks at training patients only."""
    bins: int = Field(default=20, ge=2, le=200)
    """Bins of the histogram."""

    @field_validator("thresholds")
    @classmethod
    def _named(cls, thresholds: dict[str, ThresholdRule]) -> dict[str, ThresholdRule]:
        try:
            check_thresholds(thresholds)
        except ConfigError as error:
            raise ValueError(error.in_one_line) from error
        return thresholds


def check_thresholds(names: Iterable[object]) -> None:
    """Check what people call thresholds: no training at one may be taken for one at another.

    Raises:
        ConfigError: the first wrong name.
    """
    seen: dict[str, str] = {}
    for name in (require_name("threshold", each) for each in names):
        if name_parts(run_name("erm", name)) != ("erm", name, None):
            raise _unclear(name, "its end is that of a training's seed")
        if name == GIVEN:
            raise _unclear(name, "that stands for attributes that came with imported images")
        if (other := seen.setdefault(name.casefold(), name)) != name:
            raise _unclear(name, f"many disks cannot tell it from {other}")


def _unclear(name: str, why: str) -> ConfigError:
    return ConfigError(
        has=f"a threshold called {name!r}: {why}",
        needs="a name that is no other's",
        do="choose another name, as low or much-tissue",
    )
