"""Settings of the intervals over patients: the one set of minimums, draws and level behind every figure."""

from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from pipeline.config import Context, Settings, stage_mapping, validated

OVERRIDES = ("minimum_patches", "minimum_patients", "draws", "level")
"""What `study:` may set apart for a study, whose own `seed` is that of the folds."""


class BootstrapSettings(Settings):
    """What is estimable, and how its interval is drawn: keys of configs/evaluate.yaml."""

    minimum_patches: PositiveInt = 20
    """A group with fewer is not estimable; of several seeds or repeats, with fewer in their mean."""
    minimum_patients: PositiveInt = 2
    """A group of fewer patients is not estimable."""
    draws: PositiveInt = 2000
    """Bootstrap samples of patients."""
    level: float = Field(default=0.95, gt=0, lt=1)
    """Coverage of the intervals; of groups, all together (Bonferroni)."""
    seed: NonNegativeInt = 0
    """Of the bootstrap."""

    def minimums(self, repeats: int = 1) -> dict[str, int]:
        """For sums over patients (models.metrics) of so many seeds or repeats."""
        return {
            "minimum_patches": self.minimum_patches * repeats,
            "minimum_patients": self.minimum_patients,
        }

    @property
    def drawn(self) -> dict[str, Any]:
        """For the functions of `models.metrics.intervals`."""
        return {"n_draws": self.draws, "level": self.level, "seed": self.seed}


def bootstrap_settings(context: Context, *, study: bool = False) -> BootstrapSettings:
    """Those of the cohort's evaluation; of a study, with what its own settings override."""
    content = stage_mapping(context.configs, context.cohort, "evaluate")
    if study:
        own = stage_mapping(context.configs, context.cohort, "study")
        content |= {key: own[key] for key in OVERRIDES if own.get(key) is not None}
    known = {name: content[name] for name in BootstrapSettings.model_fields if name in content}
    return validated(BootstrapSettings, known, str(context.configs / "evaluate.yaml"))
