"""Choose the cohort that `dvc repro` works on.

Writes `cohort`, `detector`, `source` and `phantoms` of configs/params.yaml; the lists of algorithms and
thresholds stay as they are. A cohort is a file of configs/cohorts: copy one, point `manifest` at your
slides.csv, and select it. One that evenpatch ships is copied there where it is not yet. Sections that a file
leaves out are added to it as `{}`, for DVC. Every section is checked here, before hours of tiling.
"""

import argparse
import logging
from collections.abc import Iterable, Sequence

from patching.errors import ConfigError
from pipeline.config import (
    Context,
    is_generated,
    load_algorithm,
    load_cohort,
    load_stage,
    require_slides,
    suggested,
    validated,
)
from pipeline.defaults import layers, params_file
from pipeline.files import replacing
from pipeline.projects.choice import completed, edited, source
from pipeline.training.thresholds import AttributeSettings, check_thresholds
from pipeline.verbs import VERBS, check_sections
from pipeline.yaml_file import load_yaml

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The cohort's name is all there is to choose."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Point configs/params.yaml at the cohort, unless it already does.

    Raises:
        ConfigError: no such cohort, an imported one, a setting of any stage or algorithm is wrong, or a
            threshold to train at is none of the cohort's.
        MissingFileError: the manifest of a real cohort does not exist.
    """
    path = params_file(context.configs)
    current = load_yaml(path)
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "`dvc repro`")
    check(context, current.get("algorithms") or ())
    _check_listed(context, current.get("thresholds") or ())
    tile = load_stage(context.configs, context.cohort, "tile", VERBS["tile"].settings_model()).model_dump()
    chosen = {"cohort": context.cohort, "detector": tile["tissue"]["method"], **source(context)}
    _adopt(context, current.get("algorithms") or ())
    if all(current.get(key) == value for key, value in chosen.items()):
        logger.info("%s was selected already; next: `dvc repro`", context.cohort)
        return
    with replacing(path) as part:
        part.write_text(edited(path.read_text(encoding="utf-8"), chosen), encoding="utf-8")
    logger.info("selected cohort %s", context.cohort)


def _check_listed(context: Context, listed: Sequence[str]) -> None:
    """Check that the cohort has the thresholds to train at, and warn of its own that are not among them.

    Raises:
        ConfigError: a name that no threshold may have, or that none of the cohort's has.
    """
    check_thresholds(listed)
    known = load_stage(context.configs, context.cohort, "attribute", AttributeSettings).thresholds
    own = f"configs/cohorts/{context.cohort}.yaml"
    if unknown := [name for name in listed if name not in known]:
        raise ConfigError(
            has="configs/params.yaml with the threshold"
            + ", ".join(f" {name}{suggested(name, known)}" for name in unknown),
            needs=f"thresholds that the cohort {context.cohort} has: {', '.join(known)}",
            do=f"correct configs/params.yaml, or add it to {own}, attribute.thresholds",
        )
    section = load_cohort(context.configs, context.cohort).sections.get("attribute", {})
    for name in section.get("thresholds", {}):
        if name not in listed:
            logger.warning(
                "%s has the threshold %s, which `thresholds` of configs/params.yaml does not list: "
                "nothing will train it",
                own,
                name,
            )


def _adopt(context: Context, algorithms: Iterable[str]) -> None:
    """DVC follows the cohort's file: it has to be in the project, with every section that dvc.yaml names."""
    name = f"cohorts/{context.cohort}"
    own, given = context.configs / f"{name}.yaml", layers(context.configs, name)[-1]
    before = given.read_text(encoding="utf-8")
    text = completed(before, _needed(context), algorithms)
    if own.is_file() and text == before:
        return
    with replacing(own) as part:
        part.write_text(text, encoding="utf-8")
    if given != own:
        logger.info("copied the shipped cohort to %s", own)
    if text != before:
        logger.info("added to %s, as `{}`, what it leaves out", own)


def _needed(context: Context) -> list[str]:
    """The sections that `dvc repro` reads parameters from."""
    generated = is_generated(load_cohort(context.configs, context.cohort), context.paths)
    return [name for name, verb in VERBS.items() if verb.needs_section] + ["phantom"] * generated


def check(context: Context, algorithms: Iterable[str]) -> None:
    """Check the settings of every stage, and of these algorithms and those of the cohort's file.

    Raises:
        ConfigError: the first wrong one.
    """
    check_sections(context.configs, context.cohort)
    cohort = load_cohort(context.configs, context.cohort)
    for name, verb in VERBS.items():
        if verb.settings:
            load_stage(context.configs, context.cohort, name, verb.settings_model())
    # Importing the algorithms imports torch, which `--help` need not wait for.
    from models.algorithms.registry import ALGORITHMS
    from models.training.making import candidates

    for name in dict.fromkeys([*algorithms, *cohort.algorithms]):
        settings = load_algorithm(context.configs, context.cohort, name)
        if name not in ALGORITHMS:
            raise ConfigError(
                has=f"algorithm {name!r}",
                needs=f"one of {', '.join(ALGORITHMS)}",
                do="correct the name in configs/params.yaml or in the cohort's file",
            )
        for override in candidates(settings):
            origin = f"algorithm {name} with cohort {context.cohort}"
            validated(ALGORITHMS[name].settings_type, {**settings, **override}, origin)
