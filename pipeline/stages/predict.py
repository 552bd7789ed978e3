"""Predict slides that nobody has seen: tumor patch by patch, for QuPath, as a heatmap and as a table.

  evenpatch predict slides/ --model models:/evenpatch-phantom@champion --out predicted
  evenpatch predict a.svs "scans/*.ome.tif" --model outputs/phantom/train/gerne-low --out predicted

SLIDES are files, folders (the slides right in them), patterns, OME-Zarr folders or addresses, or a slides.csv
of which only slide_id and image must be filled. --model is an MLflow address, or a folder with model.json and
model.safetensors. Its card says how slides are read: the same tissue detection, grid and resampling as in
training, the channels by their names, and the µm per pixel; a slide that cannot be read so is refused, and
the reason told.

OUT gets a folder per slide, predictions.html to look at, and run.json. The same command again keeps what is
whole and goes on where it was stopped. The exit code is 0 where all slides are predicted, 3 where some
failed, 2 where none could be. For research use only.
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from rich.console import Console
from rich.live import Live
from rich.text import Text

from models.networks.classifier import Device
from patching.errors import ConfigError, ErrorBudgetError
from patching.readers.naming import SlideKind
from patching.survey.named_slides import find_slides
from patching.tiling.engine import EngineSettings
from pipeline.cohort.foreseen import tell_annotations
from pipeline.deployment.engines import predict_all, tasks_of, usable_cores
from pipeline.deployment.meter import Meter
from pipeline.deployment.model import find_model
from pipeline.deployment.outputs import Heatmap
from pipeline.deployment.page import PAGE, RUN, Failure, facts_of, write_page
from pipeline.deployment.planning import ScoringSettings
from pipeline.deployment.predicting import Outcome, Precision, PredictSettings, Run, Runtime
from pipeline.deployment.summary import read_summary
from pipeline.files import write_json
from pipeline.locks import Claim, held
from pipeline.yaml_file import load_yaml

logger = logging.getLogger(__name__)
SOME_FAILED = 3
"""Exit code where some slides were predicted, and some not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Slides, model, and how."""
    add = parser.add_argument
    add("slides", nargs="+", metavar="SLIDES", help="files, folders, patterns, or a slides.csv")
    add("--model", required=True, help="a folder, or models:/NAME@ALIAS, models:/NAME/VERSION")
    add("--out", required=True, type=Path, help="folder for the outputs")
    add("--root", type=Path, default=Path(), help="of the project, or of mlflow.db (default: here)")
    add = parser.add_argument_group("slides that are in no table").add_argument
    add("--mpp", type=float, help="µm per pixel, where the file does not tell, or errs")
    add("--channels", help="names of the channels in their order: CARS,TPEF,SHG")
    add("--kind", choices=get_args(SlideKind), help="what pixels are, where the file does not tell, or errs")
    add = parser.add_argument_group("how").add_argument
    add("--overlap", type=float, help="share of a patch's side in common with the next (default: as trained)")
    add("--symmetries", action=argparse.BooleanOptionalAction, help="average over 8 (default: as trained)")
    add("--precision", choices=get_args(Precision), default="fp32", help="default: fp32")
    add("--runtime", choices=get_args(Runtime), default="torch", help="onnx: for CPUs (default: torch)")
    add("--device", choices=get_args(Device), default="auto", help="default: a GPU if there is one")
    add("--heatmap", choices=get_args(Heatmap), default="ome-tiff", help="default: ome-tiff")
    add("--scoring", type=Path, help="YAML with `classes` and `label` as in configs/tile.yaml")
    add = parser.add_argument_group("where").add_argument
    add("--engine", choices=("local", "dask", "slurm"), default="local", help="default: local")
    add("--workers", type=int, help="threads; with dask processes, with slurm jobs (default: cores)")
    add("--address", help="of a running dask scheduler (default: start one)")
    add("--slurm", type=Path, help="YAML with the arguments of dask_jobqueue.SLURMCluster")
    add("--error-budget", type=float, default=1.0, help="share of the slides that may fail (default: 1)")


def run(options: argparse.Namespace) -> int:
    """Predict the slides and write the page of the run; the exit code.

    Raises:
        ConfigError: an option is out of its range, or nothing can be written in the folder.
        BusyError: another process is at work there.
        CheckpointError, RegistryError: there is no such model.
        ManifestError, MissingFileError: there are no such slides.
        ErrorBudgetError: more slides failed than were allowed, or all of them.
        DiskSpaceError: the disk is full.
    """
    if not 0 <= options.error_budget <= 1:
        raise ConfigError(
            has=f"an error budget of {options.error_budget:g}",
            needs="a share from 0 to 1",
            do="correct `--error-budget`, or leave it out",
        )
    settings, engine = _settings(options), _engine(options)
    channels = [name.strip() for name in options.channels.split(",")] if options.channels else None
    rows = find_slides(options.slides, options.mpp, channels, options.root.resolve(), options.kind)
    scored = settings.scoring.classes
    tell_annotations(rows, scored, list(scored) if options.scoring else [], key="classes", step="predicting")
    with held([Claim(options.out / ".lock", str(options.out))], "predict", wait=0.0):
        model = find_model(options.model, options.root, options.out / ".model")
        for changed in model.changed_versions:
            logger.warning("%s", changed)
        job = Run(model, settings, options.out.resolve())
        tasks, outcomes = tasks_of(job, rows)
        meter = Meter(len(tasks))
        with _shown(meter):
            predict_all(job, tasks, engine, meter, outcomes.append)
        logger.info("%s", meter.told())
        _tell_difference(meter)
        _write_page(job, outcomes)
        _write_run(job, options, outcomes, meter)
    return _exit_code(outcomes, options.error_budget, options.out)


def _settings(options: argparse.Namespace) -> PredictSettings:
    scoring = load_yaml(options.scoring) if options.scoring else {}
    try:
        return PredictSettings(
            device=options.device,
            precision=options.precision,
            runtime=options.runtime,
            symmetries=options.symmetries,
            overlap=options.overlap,
            heatmap=options.heatmap,
            scoring=ScoringSettings.model_validate(scoring),
        )
    except ValidationError as error:
        raise _wrong(error) from error


def _engine(options: argparse.Namespace) -> EngineSettings:
    try:
        return EngineSettings(
            engine=options.engine,
            workers=options.workers,
            address=options.address,
            slurm=load_yaml(options.slurm) if options.slurm else {},
        )
    except ValidationError as error:
        raise _wrong(error) from error


def _wrong(error: ValidationError) -> ConfigError:
    told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return ConfigError(has=told, needs="options within their ranges", do="see `evenpatch predict --help`")


@contextmanager
def _shown(meter: Meter) -> Iterator[None]:
    """A line on the terminal while the block lasts."""
    screen = Console(stderr=True)
    with Live(console=screen, get_renderable=lambda: Text(meter.told()), transient=True):
        yield


def _tell_difference(meter: Meter) -> None:
    if (found := meter.difference) is not None:
        logger.info(
            "%s changes probabilities by %.2g at most, and %d classes of %d patches that were compared",
            found.what,
            found.largest,
            found.flips,
            found.patches,
        )


def _write_page(job: Run, outcomes: Sequence[Outcome]) -> None:
    summaries = [read_summary(job.out / each.slide_id) for each in outcomes if each.error is None]
    failures = [
        Failure(each.slide_id, type(each.error).__name__, each.error.in_one_line)
        for each in outcomes
        if each.error is not None
    ]
    for failure in failures:
        logger.warning("failed: %s: %s: %s", failure.slide_id, failure.error, failure.reason)
    for slide_id, warning in ((each.slide_id, told) for each in summaries for told in each.warnings):
        logger.warning("%s: %s", slide_id, warning)
    write_page(summaries, failures, job.out, facts_of(job.model))


def _write_run(job: Run, options: argparse.Namespace, outcomes: Sequence[Outcome], meter: Meter) -> None:
    """run.json: what was done by which model, and how fast; alone among the outputs it names a time."""
    content: dict[str, Any] = {
        "model": {
            "given": options.model,
            "name": job.model.name,
            "version": job.model.version,
            "digest": job.model.digest,
            "changed_versions": list(job.model.changed_versions),
        },
        "settings": job.settings.model_dump(mode="json"),
        "slides": {
            "predicted": sum(each.error is None and not each.kept for each in outcomes),
            "kept": sum(each.kept for each in outcomes),
            "failed": {each.slide_id: each.error.in_one_line for each in outcomes if each.error is not None},
        },
        "throughput": {
            "seconds": round(meter.seconds, 3),
            "patches": meter.patches,
            "patches_per_second": round(meter.rate, 1),
            "network_busy": round(meter.busy_share, 3),
            "thread_seconds": {step: round(seconds, 3) for step, seconds in meter.thread_seconds.items()},
            "cores": usable_cores(),
        },
    }
    if (found := meter.difference) is not None:
        content["difference"] = {
            "of": found.what,
            "compared": found.patches,
            "largest": found.largest,
            "other_classes": found.flips,
        }
    write_json(job.out / RUN, content, seal=False)


def _exit_code(outcomes: Sequence[Outcome], budget: float, out: Path) -> int:
    failed = [(each.slide_id, each.error) for each in outcomes if each.error is not None]
    logger.info(
        "%d slides predicted, %d kept, %d failed: %s",
        sum(each.error is None and not each.kept for each in outcomes),
        sum(each.kept for each in outcomes),
        len(failed),
        out / PAGE,
    )
    if failed and (len(failed) == len(outcomes) or len(failed) > budget * len(outcomes)):
        slide_id, error = failed[0]
        raise ErrorBudgetError(
            has=f"{len(failed)} of {len(outcomes)} slides failed; {slide_id}: {error.in_one_line}",
            needs=f"at most a share of {budget:g}, and one slide that can be predicted",
            do=f"mend what {out / PAGE} says of each, and run the same command again",
        )
    return SOME_FAILED if failed else 0
