"""Choose the cohort that `dvc repro` works on.

Writes `cohort`, `detector`, `source` and `phantoms` of configs/params.yaml; the lists of algorithms and
thresholds stay as they are. A cohort is a file of configs/cohorts: copy one, point `manifest` at your
slides.csv, and select it. One that evenpatch ships is copied there where it is not yet. Every section of
its file is checked here, before hours of tiling.
"""

import argparse
import logging
import shutil
from collections.abc import Iterable

from patching.errors import ConfigError
from pipeline.config import (
    Context,
    is_generated,
    load_algorithm,
    load_cohort,
    load_stage,
    require_slides,
    validated,
)
from pipeline.defaults import layers, params_file
from pipeline.files import replacing
from pipeline.projects.choice import edited, source
from pipeline.training.thresholds import check_thresholds
from pipeline.verbs import VERBS, check_sections
from pipeline.yaml_file import load_yaml

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The cohort's name is all there is to choose."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Point configs/params.yaml at the cohort, unless it already does.

    Raises:
        ConfigError: no such cohort, an imported one, or a setting of any stage or algorithm is wrong.
        MissingFileError: the manifest of a real cohort does not exist.
    """
    path = params_file(context.configs)
    current = load_yaml(path)
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "`dvc repro`")
    check(context, current.get("algorithms") or ())
    check_thresholds(current.get("thresholds") or ())
    tile = load_stage(context.configs, context.cohort, "tile", VERBS["tile"].settings_model()).model_dump()
    chosen = {"cohort": context.cohort, "detector": tile["tissue"]["method"], **source(context)}
    _adopt(context)
    if all(current.get(key) == value for key, value in chosen.items()):
        return
    with replacing(path) as part:
        part.write_text(edited(path.read_text(encoding="utf-8"), chosen), encoding="utf-8")
    logger.info("selected cohort %s", context.cohort)


def _adopt(context: Context) -> None:
    """DVC follows the cohort's file, so that a shipped one has to be in the project."""
    name = f"cohorts/{context.cohort}"
    own = context.configs / f"{name}.yaml"
    if not own.is_file():
        with replacing(own) as part:
            shutil.copyfile(layers(context.configs, name)[-1], part)
        logger.info("copied the shipped cohort to %s", own)


def check(context: Context, algorithms: Iterable[str]) -> None:
    """Check the settings of every stage, and of these algorithms and those of the cohort's file.

    Raises:
        ConfigError: the first wrong one.
    """
    check_sections(context.configs, context.cohort)
    cohort = load_cohort(context.configs, context.cohort)
    needed = [name for name, verb in VERBS.items() if verb.needs_section]
    needed += ["phantom"] if is_generated(cohort, context.paths) else []
    if missing := [name for name in needed if name not in cohort.sections]:
        raise ConfigError(
            has=f"the file of cohort {context.cohort} without {', '.join(missing)}",
            needs="a section, if an empty one, of every stage that `dvc repro` runs",
            do=f"add {', '.join(f'`{name}: {{}}`' for name in missing)}",
        )
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
