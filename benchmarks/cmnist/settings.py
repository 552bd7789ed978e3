"""The benchmark's own settings, checked."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from models.metrics.selection import Regime

FILE = Path(__file__).with_name("settings.yaml")


class Method(BaseModel):
    """One row of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    """As the published table calls it."""
    algorithm: str | None = None
    """A name of the registry; none: the row's own."""
    attributes: Regime
    """Where they may be used: the row stands in that part of the table."""
    ratios: tuple[float, ...] | None = None
    """Where it is run; none: everywhere."""
    settings: dict[str, Any]
    """Of the algorithm, with candidates."""
    train: tuple[dict[str, Any], ...] = ({},)
    """Settings of the training to try, each with every candidate."""


class Settings(BaseModel):
    """settings.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: dict[str, Any]
    published_ratios: tuple[float, ...]
    seeds: tuple[int, ...]
    methods: dict[str, Method]


def load() -> Settings:
    """Read settings.yaml."""
    return Settings.model_validate(yaml.safe_load(FILE.read_text(encoding="utf-8")))
