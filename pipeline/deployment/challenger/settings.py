"""Settings of `register` and `rollback`: configs/register.yaml."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator

from patching.errors import ConfigError
from pipeline.config import Settings, validated

Share = Field(ge=0, le=1)


def _not_reserved(alias: str) -> str:
    # MLflow reads `latest` as the newest version, and would find a champion where there is none.
    if re.fullmatch(r"latest|v\d+", alias, re.IGNORECASE):
        raise ValueError("latest, v1, v2, ... mean versions to MLflow")
    return alias


Alias = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$"), AfterValidator(_not_reserved)]


class ValidationRule(Settings):
    """How the candidate is chosen."""

    figure: Literal["wga", "gba", "average", "worst_class"]
    """`worst_class` is the one for models trained without attributes in validation."""
    minimum: float = Share
    """A run below it is no candidate."""
    every_group: bool
    """Whether a run with a validation group that is not estimable is no candidate."""
    minimum_patients: NonNegativeInt
    """With tumor, and without: of fewer validation patients the choice is weak evidence."""


class CandidateRule(Settings):
    """What the candidate must show on the test patients by itself."""

    minimum_patients: NonNegativeInt
    """With tumor, and without: fewer test patients are weak evidence."""
    chance: float | None = Share
    """A WGA whose interval begins below it is weak evidence; none: not asked."""
    study: Literal["accepted", "weak"] = "accepted"
    """The cohort's study, where no patient was kept apart: as good as test patients, or weak evidence."""
    minimum_low: float | None = Share
    """The lower end of WGA's interval must reach it; none: it is told only."""


class ChampionRule(Settings):
    """What the candidate must show beside the champion, on the same test patients."""

    wga: Literal["non_inferior", "superior"]
    """Whether WGA may be lower by less than the margin, or must be higher by more than it."""
    margin: float = Share
    """The lower end of WGA's difference must not be below -margin, or must be above margin."""
    group: float | None = Share
    """No group's accuracy may be lower by more, as estimated; less, but shown, is weak evidence."""
    average: float | None = Share
    """The average accuracy may not be lower by more, as estimated."""
    brier: float | None = Share
    """The Brier score may not be higher by more, as estimated."""


class ServiceRule(Settings):
    """What the candidate must show when it is served, in a process of its own on this machine's CPU."""

    latency_ms: PositiveFloat | None
    """Most time per patch; none: it is told only."""
    memory_mib: PositiveFloat | None
    """Most memory of the process at its peak, libraries included; none: it is told only."""
    tolerance: NonNegativeFloat
    """Most that a served probability may differ from the one that was judged."""


class RegisterSettings(Settings):
    """configs/register.yaml."""

    threshold: str
    """Whose groups the models are compared in."""
    alias: Alias
    """The one that users load."""
    previous: Alias
    """The one that keeps the version before, for `evenpatch rollback`."""
    approval: Literal["none", "required"]
    """Whether somebody must put a name to a promotion (`--approve NAME`)."""
    validation: ValidationRule
    test: CandidateRule
    champion: ChampionRule
    service: ServiceRule

    @model_validator(mode="after")
    def _two_aliases(self) -> Self:
        if self.alias == self.previous:
            raise ValueError("alias and previous must differ: a rollback takes previous away")
        return self

    def under(self, alias: str | None) -> "RegisterSettings":
        """These settings for an alias of the command line, which keeps its own version before.

        Raises:
            ConfigError: MLflow has no such alias, or it is one that keeps the version before.
        """
        if alias is None or alias == self.alias:
            return self
        if alias == self.previous or alias.endswith(f"-{self.previous}"):
            raise ConfigError(
                has=f"--alias {alias}, which keeps the version before",
                needs="an alias to load models by",
                do="choose another name; `evenpatch rollback` goes back to the version before",
            )
        own = {"alias": alias, "previous": f"{alias}-{self.previous}"}
        return validated(RegisterSettings, self.model_dump() | own, "--alias")
