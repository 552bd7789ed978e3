"""Choose the cohort that `dvc repro` works on.

Writes `cohort`, `source` and `phantoms` of configs/params.yaml; the lists of algorithms and thresholds
stay as they are. A cohort is a file of configs/cohorts: copy one, point `manifest` at your slides.csv,
and select it.
"""

import argparse
import logging
import os
from pathlib import Path, PurePath

from ruamel.yaml import YAML

from patching.errors import MissingFileError
from pipeline.artifacts import Paths, replacing
from pipeline.config import CohortFile, Context, expanded, load_cohort, load_yaml

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The cohort's name is all there is to choose."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Point configs/params.yaml at the cohort, unless it already does.

    Raises:
        ConfigError: no such cohort, or its file is wrong.
        MissingFileError: the manifest of a real cohort does not exist.
    """
    path = context.configs / "params.yaml"
    current = load_yaml(path)
    chosen = {"cohort": context.cohort, **source(context)}
    if all(current.get(key) == value for key, value in chosen.items()):
        return
    # PyYAML would drop the comments.
    editor = YAML()
    editor.indent(mapping=2, sequence=4, offset=2)
    content = editor.load(path)
    content.update(chosen)
    with replacing(path) as part:
        editor.dump(content, part)
    log.info("selected cohort %s", context.cohort)


def source(context: Context) -> dict[str, object]:
    """What the ingest stage depends on: a generated folder, or a manifest that must exist."""
    cohort = load_cohort(context.configs, context.cohort)
    manifest = Path(expanded(cohort.manifest))
    if is_generated(cohort, context.paths):
        return {"source": manifest.parent.as_posix(), "phantoms": [context.cohort]}
    absolute = context.paths.root / manifest
    if not absolute.is_file():
        raise MissingFileError(
            has=f"no file {manifest}, the manifest of cohort {context.cohort}",
            needs="a slides.csv (README: your own slides)",
            do="correct `manifest` in the cohort's file, or the variable it names",
        )
    return {"source": Path(os.path.normpath(manifest)).as_posix(), "phantoms": []}


def is_generated(cohort: CohortFile, paths: Paths) -> bool:
    """Whether the cohort's slides are those of its own phantom stage."""
    return PurePath(expanded(cohort.manifest)) == paths.raw.relative_to(paths.root) / "slides.csv"
