"""Settings of a stage: the shipped configs/<stage>.yaml, overlaid by the project's, then by the cohort's own.

Each stage owns a frozen pydantic model of its settings; an unknown key is an error.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from pathlib import Path, PurePath
from typing import Any, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from patching.errors import ConfigError
from pipeline.artifacts import Paths, require_name
from pipeline.defaults import layers, merged
from pipeline.yaml_file import load_yaml

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
    """configs/cohorts/<name>.yaml: where the slides are, and what differs from the stages' defaults.

    A cohort has slides (`manifest`) or is a published benchmark (`benchmark`), whose images are imported.
    Every other key is the section of a stage.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]]

    manifest: str | None = None
    """Path of slides.csv, relative to the repository's root; `$(NAME:-default)` reads the environment."""
    benchmark: dict[str, Any] | None = None
    """Instead of slides: `layout`, `folder` and that layout's own settings (pipeline.published.registry)."""
    description: str
    """One sentence for the report."""
    intended_use: str = "Research use only; not a medical device, and not for diagnosis."
    """What its models are for, as they tell those who use them."""
    limits: tuple[str, ...] = ()
    """What is known to go wrong with its models, a sentence each, beside what follows from their figures."""
    montages: bool = False
    """Whether a slide is a montage of loose patches, so that places on it mean nothing."""
    algorithms: dict[str, dict[str, Any]] = {}
    """What differs from configs/algorithms/<name>.yaml."""

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """What differs from configs/<stage>.yaml, by stage; `pipeline.verbs` knows which names there are."""
        return self.model_extra or {}

    @model_validator(mode="before")
    @classmethod
    def _nothing_differs(cls, content: dict[str, Any]) -> dict[str, Any]:
        # `split:` with nothing after it is as good as `split: {}`, and so is `erm:` under `algorithms:`.
        told = {key: own for key, own in content.items() if own is not None or key in cls.model_fields}
        if isinstance(own := told.get("algorithms"), dict):
            told["algorithms"] = {name: {} if value is None else value for name, value in own.items()}
        return told

    @model_validator(mode="after")
    def _slides_or_benchmark(self) -> Self:
        if (self.manifest is None) == (self.benchmark is None):
            raise ValueError("give manifest (slides) or benchmark (imported images), and only one of them")
        return self


SettingsT = TypeVar("SettingsT", bound=BaseModel)


def validated(model: type[SettingsT], content: dict[str, Any], origin: str) -> SettingsT:
    """Check `content` against a settings model.

    Raises:
        ConfigError: names every wrong key with its place, value and rule.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'top level'} = {_shortened(item['input'])}: "
            f"{item['msg']}{_hint(model, item['type'], item['loc'], item['input'])}"
            for item in error.errors()
        )
        raise ConfigError(
            has=f"{origin}: {found}",
            needs=f"settings of {model.__name__} ({', '.join(_keys(model, ()))})",
            do="correct, remove or add the keys named above",
        ) from error


def _shortened(value: object, width: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _hint(model: type[BaseModel], kind: str, place: Sequence[int | str], value: object) -> str:
    if kind == "extra_forbidden":
        return suggested(str(place[-1]), _keys(model, place[:-1]))
    if kind == "string_type" and not isinstance(value, dict | list | tuple):
        return f" (YAML reads it as {type(value).__name__}: quote it)"
    return ""


def suggested(key: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)`, or nothing where no known key is like this one."""
    close = get_close_matches(key, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _keys(kind: Any, place: Sequence[int | str]) -> dict[str, Any]:
    """The keys, as a file spells them, and their types at a place in a model; none where they are free."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        keys = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
        return _keys(keys.get(str(place[0])), place[1:]) if place else keys
    inside = place[1:] if get_origin(kind) in (dict, list, tuple) else place
    return next((keys for each in get_args(kind) if (keys := _keys(each, inside))), {})


def expanded(text: str) -> str:
    """Replace `$(NAME)` and `$(NAME:-default)` by the environment's values.

    Raises:
        ConfigError: a variable without a default is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if (found := os.environ.get(name) or match["default"]) is None:
            raise ConfigError(
                has=f"{text}, with {name} not set",
                needs=f"a value for {name}",
                do=f"export {name}=..., or write the path out",
            )
        return found

    return _VARIABLE.sub(value, text)


def load_layered(configs: Path, name: str) -> dict[str, Any]:
    """configs/<name>.yaml of the project over what evenpatch ships; either is enough.

    A key of the project's file replaces the default whole, so that a threshold taken out of a copy is gone.
    """
    return reduce(lambda below, above: below | above, map(load_yaml, layers(configs, name)))


def cohort_file(configs: Path, cohort: str) -> Path:
    """configs/cohorts/<cohort>.yaml: the project's own, which is whole, else the shipped one.

    Raises:
        ConfigError: no such file, no name for a cohort, or one that many disks take for another cohort's.
    """
    path = layers(configs, f"cohorts/{require_name('cohort', cohort)}")[-1]
    known = {each.stem for each in path.parent.glob("*.yaml")}
    if others := sorted(name for name in known - {cohort} if name.casefold() == cohort.casefold()):
        told = f"a cohort called {cohort} beside {', '.join(others)} in {path.parent}"
        needs = "names that differ by more than the case of their letters"
        raise ConfigError(has=told, needs=needs, do="rename one of the files")
    return path


def load_cohort(configs: Path, cohort: str) -> CohortFile:
    """Read the cohort's file, see `cohort_file`."""
    path = cohort_file(configs, cohort)
    return validated(CohortFile, load_yaml(path), str(path))


def require_slides(cohort: CohortFile, name: str, what: str) -> None:
    """Check that the cohort has slides, and so a tissue fraction for every patch.

    Raises:
        ConfigError: it is an imported benchmark.
    """
    if cohort.benchmark is not None:
        raise ConfigError(
            has=f"the cohort {name}, a benchmark whose images are imported",
            needs=f"a cohort of slides (`manifest`) for {what}",
            do=f"run `evenpatch import --cohort {name}`, then train (docs/benchmark-cohorts.md)",
        )


def slides_manifest(cohort: CohortFile, name: str) -> str:
    """Path of the cohort's slides.csv, variables replaced.

    Raises:
        ConfigError: the cohort is an imported benchmark and has no slides, or a variable is not set.
    """
    require_slides(cohort, name, "ingest and tile")
    return expanded(cohort.manifest or "")


def is_generated(cohort: CohortFile, paths: Paths) -> bool:
    """Whether the cohort's slides are those of its own phantom stage."""
    own = paths.raw.relative_to(paths.root) / "slides.csv"
    return cohort.manifest is not None and PurePath(expanded(cohort.manifest)) == own


def stage_mapping(configs: Path, cohort: str, stage: str) -> dict[str, Any]:
    """Settings of a stage for a cohort, unchecked: the stage's file, overlaid by the cohort's section."""
    section = load_cohort(configs, cohort).sections.get(stage, {})
    return merged(load_layered(configs, stage), section)


def load_stage(configs: Path, cohort: str, stage: str, model: type[SettingsT], **given: object) -> SettingsT:
    """Settings of a stage for a cohort; `given` are options of the command line, or None."""
    content = stage_mapping(configs, cohort, stage)
    settings = validated(model, content, f"{layers(configs, stage)[-1]} with cohort {cohort}")
    chosen = {name: value for name, value in given.items() if value is not None}
    options = ", ".join(f"--{name.replace('_', '-')}" for name in chosen)
    return validated(model, settings.model_dump() | chosen, options) if chosen else settings


def load_algorithm(configs: Path, cohort: str, algorithm: str) -> dict[str, Any]:
    """Settings of an algorithm for a cohort, still a mapping: its own model is in `models.algorithms`.

    What the project's file or the cohort's section sets, candidates from below no longer change.
    """
    settings: dict[str, Any] = {}
    for own in map(load_yaml, layers(configs, f"algorithms/{algorithm}")):
        settings = _candidates_under(own, settings | own)
    section = load_cohort(configs, cohort).algorithms.get(algorithm, {})
    return _candidates_under(section, merged(settings, section))


def _candidates_under(overlay: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    listed = settings.get("candidates")
    if "candidates" in overlay or not isinstance(listed, list):
        return settings
    left = [{key: value for key, value in each.items() if key not in overlay} for each in listed]
    return settings | {"candidates": [each for n, each in enumerate(left) if each not in left[:n]]}
