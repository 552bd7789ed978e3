"""The command line: one verb per stage."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from models.training.interruption import StopRequested
from patching.disk_space import full_disk
from patching.errors import ConfigError, EvenpatchError
from pipeline.artifacts import Paths
from pipeline.config import Context, load_yaml

STAGES: dict[str, tuple[str, str]] = {
    "phantom": ("pipeline.stages.phantom", "generate a synthetic multimodal cohort"),
    "import": (
        "pipeline.stages.import_images",
        "read a published benchmark's images as a cohort, ready to train",
    ),
    "ingest": (
        "pipeline.stages.ingest",
        "check slides.csv and every slide; list what cannot be used, and why",
    ),
    "tile": ("pipeline.stages.tile", "cut slides into patches with tissue fraction and label"),
    "verify": ("pipeline.stages.verify", "check every chunk of the patch stores against its checksum"),
    "split": ("pipeline.stages.split", "split patients into training, validation and test"),
    "attribute": ("pipeline.stages.attribute", "binarize the tissue fraction into attribute and group"),
    "train": ("pipeline.stages.train", "train one algorithm at one threshold"),
    "evaluate": ("pipeline.stages.evaluate", "predict validation and test patches; metrics per group"),
    "compare": ("pipeline.stages.compare", "put methods side by side: tables with intervals and differences"),
    "report": ("pipeline.stages.report", "write the offline HTML report"),
    "track": ("pipeline.stages.track", "log runs and models to MLflow (idempotent)"),
    "register": (
        "pipeline.stages.register",
        "move the registry alias to the best model that passes the gate",
    ),
    "study": ("pipeline.stages.study", "repeat the patient-level cross-validation over seeds"),
    "tune": ("pipeline.stages.tune", "search an algorithm's settings on validation patients"),
    "sweep": (
        "pipeline.stages.sweep",
        "train along a grid of learning rates; robustness and compressibility",
    ),
    "select": ("pipeline.stages.select", "choose the cohort that `dvc repro` works on"),
}


CHOOSING = ("phantom", "select")
"""Verbs that say what the cohort is; every other verb works on the one they chose."""
IN_PROCESSES = ("train",)
"""Verbs that torchrun may start in several processes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; an expected error goes to stderr and ends with exit code 2."""
    # Telemetry and update checks of dependencies are off, whoever starts us.
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "NO_ALBUMENTATIONS_UPDATE", "DVC_NO_ANALYTICS"):
        os.environ.setdefault(name, "1" if name == "NO_ALBUMENTATIONS_UPDATE" else "true")
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser(arguments[0] if arguments else None)
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    try:
        _check_processes(options.verb)
        options.run(options)
    except EvenpatchError as error:
        print(f"evenpatch {options.verb}: {type(error).__name__}\n{error}", file=sys.stderr)
        return 2
    except OSError as error:
        told = full_disk(error, Path(error.filename or "."))
        if not isinstance(told, EvenpatchError):
            raise
        print(f"evenpatch {options.verb}: {type(told).__name__}\n{told}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(f"evenpatch {options.verb}: stopped; the same command goes on where it was", file=sys.stderr)
        return stopped.exit_code if isinstance(stopped, StopRequested) else 130
    return 0


def _check_processes(verb: str) -> None:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and verb not in IN_PROCESSES:
        raise ConfigError(
            has=f"evenpatch {verb}, started {processes} times by torchrun",
            needs=f"one process; together work only {', '.join(IN_PROCESSES)}",
            do=f"start `evenpatch {verb}` by itself",
        )


def _parser(verb: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evenpatch",
        description="Patch-wise tumor classification that holds up in every group, not only on average.",
        epilog="The stages run in this order: ingest, tile, split, attribute, train, evaluate, report, "
        "track. `dvc repro` runs them all; `register` is yours to call. A benchmark of images takes `import` "
        "instead of the first four.",
    )
    parser.add_argument("--version", action="version", version=f"evenpatch {version('evenpatch')}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (module, summary) in STAGES.items():
        sub = verbs.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument(
            "--cohort",
            default="phantom" if name in CHOOSING else None,
            help="a file of configs/cohorts (default: "
            + ("phantom)" if name in CHOOSING else "the selected one, `cohort` of configs/params.yaml)"),
        )
        sub.add_argument("--root", type=Path, default=Path(), help="folder with configs/ (default: this one)")
        sub.add_argument("--log-level", choices=("debug", "info", "warning"), default="info")
        if name == verb:
            # Only the verb that runs is imported: torch and mlflow take seconds each.
            stage = importlib.import_module(module)
            if stage.__doc__:
                sub.description = stage.__doc__
            stage.add_arguments(sub)
            sub.set_defaults(run=lambda options, stage=stage: stage.run(_context(options), options))
    return parser


def _context(options: argparse.Namespace) -> Context:
    configs = options.root / "configs"
    cohort = options.cohort or _selected(configs / "params.yaml")
    return Context(cohort, Paths(options.root, cohort), configs)


def _selected(path: Path) -> str:
    cohort = load_yaml(path).get("cohort")
    if isinstance(cohort, str) and cohort:
        return cohort
    raise ConfigError(
        has=f"{path} with cohort: {cohort!r}",
        needs="the name of a file of configs/cohorts",
        do="run `evenpatch select --cohort NAME`, or give `--cohort NAME`",
    )


if __name__ == "__main__":
    sys.exit(main())
