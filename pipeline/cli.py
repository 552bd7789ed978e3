"""The command line: one verb per stage."""

import argparse
import importlib
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from models.training.interruption import StopRequested
from patching.disk_space import full_disk
from patching.errors import ConfigError, EvenpatchError
from pipeline.artifacts import Paths, run_name
from pipeline.config import Context
from pipeline.defaults import params_file
from pipeline.locks import Claim, held
from pipeline.provenance import version_of
from pipeline.verbs import VERBS, Verb, check_sections
from pipeline.yaml_file import load_yaml


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb, and give its exit code; an expected error goes to stderr and ends with 2."""
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
        return options.run(options) or 0
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


def _check_processes(verb: str) -> None:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and not VERBS[verb].in_processes:
        together = ", ".join(name for name, each in VERBS.items() if each.in_processes)
        raise ConfigError(
            has=f"evenpatch {verb}, started {processes} times by torchrun",
            needs=f"one process; together work only {together}",
            do=f"start `evenpatch {verb}` by itself",
        )


def _parser(verb: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evenpatch",
        description="Patch-wise tumor classification that holds up in every group, not only on average.",
        epilog="The stages run in this order: ingest, tile, statistics, split, attribute, shortcuts, train, "
        "evaluate, explain, intervene, report, track. `dvc repro` runs them all; `register` is yours to "
        "call. A benchmark of images takes `import` instead of all before `train`. Without a project, in "
        "any folder: "
        f"{', '.join(_standalone()) or 'none'}.",
    )
    parser.add_argument("--version", action="version", version=f"evenpatch {version_of('evenpatch')}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, told in VERBS.items():
        sub = verbs.add_parser(
            name,
            help=told.summary,
            description=f"{told.summary[0].upper()}{told.summary[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if not told.standalone:
            _add_project(sub, told)
        sub.add_argument("--log-level", choices=("debug", "info", "warning"), default="info")
        if name == verb:
            # Only the verb that runs is imported: torch and mlflow take seconds each.
            stage = importlib.import_module(told.module)
            if stage.__doc__:
                sub.description = stage.__doc__
            stage.add_arguments(sub)
            sub.set_defaults(run=stage.run if told.standalone else _in_project(stage.run))
    return parser


def _standalone() -> list[str]:
    return [name for name, verb in VERBS.items() if verb.standalone]


def _add_project(parser: argparse.ArgumentParser, verb: Verb) -> None:
    parser.add_argument(
        "--cohort",
        default="phantom" if verb.chooses_cohort else None,
        help="a file of configs/cohorts (default: "
        + ("phantom)" if verb.chooses_cohort else "the selected one, `cohort` of configs/params.yaml)"),
    )
    parser.add_argument("--root", type=Path, default=Path(), help="folder with configs/ (default: this one)")
    parser.add_argument(
        "--wait",
        type=_seconds,
        metavar="SECONDS",
        help="how long to wait for another process at work on the same files (default: until it has ended)",
    )


def _in_project(
    run: Callable[[Context, argparse.Namespace], None],
) -> Callable[[argparse.Namespace], None]:
    def locked(options: argparse.Namespace) -> None:
        context = _context(options)
        # torchrun's first process writes for all, and the others do not wait for it long.
        several, first = os.environ.get("WORLD_SIZE", "1") != "1", os.environ.get("RANK", "0") == "0"
        claims = _claims(VERBS[options.verb], context.paths, options) if first else []
        with held(claims, options.verb, 0.0 if several else options.wait):
            run(context, options)

    return locked


def _claims(verb: Verb, paths: Paths, options: argparse.Namespace) -> Iterator[Claim]:
    """A lock for each thing that the verb reads or writes, where neither DVC nor a stage removes anything."""
    run = ""
    if any("{run}" in place for place in verb.writes):
        run = run_name(options.algorithm, options.threshold, getattr(options, "seed", None))
    for places, alone in ((verb.reads, False), (verb.writes, True)):
        for place in places:
            kind, _, name = place.format(run=run).partition("/")
            folder = {"data": paths.data, "outputs": paths.outputs}[kind]
            # What is not there yet cannot be read.
            if alone or folder.is_dir():
                told = (folder / name).relative_to(paths.root).as_posix()
                yield Claim(folder / ".locks" / name.replace("/", "-"), told, alone)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds, 0 or more")
    return seconds


def _context(options: argparse.Namespace) -> Context:
    configs = options.root / "configs"
    cohort = options.cohort or _selected(params_file(configs))
    check_sections(configs, cohort)
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
