"""Move the registry alias to the best tracked model, if it passes the gate.

The candidate is the run with the best validation figure at one threshold; the test patients have no part in
that. The gate then looks at the candidate's test interval, and can only hold it back. Without a threshold the
settings' one is taken; `--run` names the model instead of choosing it by validation. The gate holds where the
settings give it a `minimum_low`, and only reports otherwise.
"""

import argparse
import logging
from typing import Any

from patching.errors import ArtifactError, RegistryError
from pipeline.artifacts import Paths
from pipeline.config import Context, load_cohort, load_stage, require_slides
from pipeline.files import read_json
from pipeline.tracking.gate import RegisterSettings, check_gate, choose
from pipeline.tracking.models import Logged, ModelStore

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to register, and under which alias."""
    parser.add_argument("--threshold", help="compare the runs at this threshold (default: the settings')")
    parser.add_argument("--alias", help="alias to move (default: the settings')")
    parser.add_argument(
        "--run",
        dest="named",
        metavar="RUN",
        help="register this run, as `gerne-low`: skips the choice by validation; "
        "the test gate holds only where the settings give it a `minimum_low`",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")


def run(context: Context, options: argparse.Namespace) -> None:
    """Choose, check the gate, and move the alias; does nothing where it points there already.

    Raises:
        RegistryError: nothing is tracked, no run is a candidate, or the gate holds.
        ConfigError: the cohort is an imported benchmark.
    """
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "a model to register")
    settings = load_stage(context.configs, context.cohort, "register", RegisterSettings)
    alias = options.alias or settings.alias
    store = ModelStore(context.paths.root, context.cohort)
    tracked = {
        name: (logged, store.figures(logged))
        for name, logged in _tracked(
            context.paths, options.threshold or settings.threshold, options.named
        ).items()
    }
    name = options.named or choose(
        {key: figures for key, (_, figures) in tracked.items()}, settings.validation
    )
    logged, figures = tracked[name]
    check_gate(name, figures, settings.test)
    before = store.aliased(alias)
    target = f"version {logged.version} ({name}) of {logged.model}"
    if before == logged.version:
        logger.info("%s is %s already", alias, target)
    elif options.dry_run:
        logger.info("would move %s from version %s to %s", alias, before or "none", target)
    else:
        store.set_alias(alias, logged)
        logger.info("moved %s from version %s to %s", alias, before or "none", target)
    print(f"models:/{logged.model}@{alias}: {target}")


def _tracked(paths: Paths, threshold: str, run: str | None) -> dict[str, Logged]:
    """The tracked runs to choose from: all at one threshold, or the one that was named."""
    try:
        receipts: list[dict[str, Any]] = read_json(paths.tracked, "track")["runs"]
    except ArtifactError as error:
        raise RegistryError(
            has=f"no tracked models of {paths.cohort} ({error.has})",
            needs=error.needs,
            do="run `evenpatch track` first",
        ) from error
    wanted = [r for r in receipts if (r["run"] == run if run else r["threshold"] == threshold)]
    if not wanted:
        raise RegistryError(
            has=f"tracked runs {', '.join(r['run'] for r in receipts)}",
            needs=f"the run {run}" if run else f"a run at threshold {threshold}",
            do="correct the name, or train, evaluate and track it",
        )
    return {r["run"]: Logged(r["mlflow_run_id"], r["model"], r["version"]) for r in wanted}
