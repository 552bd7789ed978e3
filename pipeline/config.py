"""Settings of a stage: configs/<stage>.yaml, overlaid by the cohort's section of the same name.

Each stage owns a frozen pydantic model of its settings; an unknown key is an error.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from patching.errors import ConfigError
from pipeline.artifacts import Paths

# Not `${NAME}`: `dvc exp run -S` reads YAML files as OmegaConf does, and would take that for its own.
_VARIABLE = re.compile(r"\$\((?P<name>\w+)(:-(?P<default>[^)]*))?\)")


@dataclass(frozen=True)
class Context:
    """What every stage gets: the cohort's name, its paths, and the folder of settings."""

    cohort: str
    paths: Paths
    configs: Path


class Settings(BaseModel):
    """Base of every settings model: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CohortFile(Settings):
    """configs/cohorts/<name>.yaml: where the slides are, and what differs from the stages' defaults."""

    manifest: str
    """Path of slides.csv, relative to the repository's root; `$(NAME:-default)` reads the environment."""
    description: str
    """One sentence for the report."""
    phantom: dict[str, Any] = {}
    ingest: dict[str, Any]
    tile: dict[str, Any]
    split: dict[str, Any]
    attribute: dict[str, Any]
    train: dict[str, Any]
    algorithms: dict[str, dict[str, Any]]
    evaluate: dict[str, Any]
    report: dict[str, Any]
    # pydantic keeps the name `register` for itself.
    registration: dict[str, Any] = Field(alias="register")
    study: dict[str, Any] = {}


SettingsT = TypeVar("SettingsT", bound=BaseModel)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping.

    Raises:
        ConfigError: no such file, not YAML, or not a mapping.
    """
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise ConfigError(
            has=f"no file {path}",
            needs=f"one of those in {path.parent}: {known}",
            do="check the name, or write the file",
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(
            has=f"{path}: {error}", needs="valid YAML", do="mend the line named above"
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            has=f"{path} with a {type(content).__name__} at the top",
            needs="a mapping of settings",
            do="write `key: value` lines",
        )
    return content


def validated(model: type[SettingsT], content: dict[str, Any], origin: str) -> SettingsT:
    """Check `content` against a settings model.

    Raises:
        ConfigError: names every wrong key with its place, value and rule.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'top level'} = {item['input']!r}: {item['msg']}"
            for item in error.errors()
        )
        known = ", ".join(model.model_fields)
        raise ConfigError(
            has=f"{origin}: {found}",
            needs=f"settings of {model.__name__} ({known})",
            do="correct or remove the keys named above",
        ) from error


def merged(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Overlay a mapping on another; nested mappings merge, everything else replaces."""
    result = dict(base)
    for key, value in overlay.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def expanded(text: str) -> str:
    """Replace `$(NAME)` and `$(NAME:-default)` by the environment's values.

    Raises:
        ConfigError: a variable without a default is not set.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        found = os.environ.get(name) or default
        if found is None:
            raise ConfigError(
                has=f"{text}, with {name} not set",
                needs=f"a value for {name}",
                do=f"export {name}=..., or write the path out",
            )
        return found

    return _VARIABLE.sub(value, text)


def load_cohort(configs: Path, cohort: str) -> CohortFile:
    """Read configs/cohorts/<cohort>.yaml."""
    path = configs / "cohorts" / f"{cohort}.yaml"
    return validated(CohortFile, load_yaml(path), str(path))


def load_stage(configs: Path, cohort: str, stage: str, model: type[SettingsT]) -> SettingsT:
    """Settings of a stage for a cohort: the stage's file, overlaid by the cohort's section."""
    path = configs / f"{stage}.yaml"
    section: dict[str, Any] = load_cohort(configs, cohort).model_dump(by_alias=True)[stage]
    return validated(model, merged(load_yaml(path), section), f"{path} with cohort {cohort}")


def load_algorithm(configs: Path, cohort: str, algorithm: str) -> dict[str, Any]:
    """Settings of an algorithm for a cohort, still a mapping: its own model is in `models.algorithms`."""
    section = load_cohort(configs, cohort).algorithms.get(algorithm, {})
    return merged(load_yaml(configs / "algorithms" / f"{algorithm}.yaml"), section)
