"""Search an algorithm's settings on validation patients: outputs/<cohort>/tune/<algorithm>-<threshold>/.

For GERNE these are c, beta and, with unknown attributes, t; beta is drawn as a share of its legal bounds.
Every trial is a whole training with the train stage's settings and seed; it is judged by the figure that the
attributes' regime selects by. Test patches are not read. ERM and group resampling are trained once each, to
see the search beside them. Written are trials.csv, best.yaml (to paste into the cohort's file), tune.json and
tune.png; every trial is a run in MLflow, under one for the search. The same command goes on where an
interrupted one stopped, and --trials with a larger number continues a finished one.
"""

import argparse
import logging
import shutil
from collections.abc import Mapping
from typing import Any

import optuna
from rich.console import Console
from rich.progress import track

from models.training.making import checked_settings
from patching.errors import AlgorithmError, ConfigError
from pipeline.artifacts import run_name
from pipeline.config import Context, load_algorithm, load_stage
from pipeline.experiments.beta_range import position
from pipeline.experiments.search import Record, Search, proposal
from pipeline.experiments.search_space import Range, TuneSettings
from pipeline.experiments.tune_files import Tuning, summary, write
from pipeline.files import NOT_ESTIMABLE, finite_or
from pipeline.tracking.trials import TrialStore
from pipeline.training.bench import Attempt, Bench, load_bench

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is searched, and how long."""
    parser.add_argument(
        "--algorithm", default="gerne", help="with a space in configs/tune.yaml (default: gerne)"
    )
    parser.add_argument("--threshold", default="low", help="of the attribute stage (default: low)")
    parser.add_argument("--trials", type=int, help="trainings at most (default: configs/tune.yaml)")


def run(context: Context, options: argparse.Namespace) -> None:
    """Train what is missing, then write everything.

    Raises:
        ArtifactError: an earlier stage's output is missing.
        ConfigError: a wrong setting, or an algorithm without a search space.
        AlgorithmError, GroupError: the algorithm cannot run on these groups; every trial failed.
        RegistryError: MLflow cannot be reached.
    """
    settings = load_stage(context.configs, context.cohort, "tune", TuneSettings, trials=options.trials)
    base = _base(context, options.algorithm)
    ranges = checked_space(settings, options.algorithm, base)
    bench = load_bench(context, options.threshold, settings.epochs)
    name = run_name(options.algorithm, options.threshold)
    _Tune(name, options.algorithm, settings, base, ranges, bench).run()


def checked_space(settings: TuneSettings, algorithm: str, base: Mapping[str, Any]) -> dict[str, Range]:
    """The algorithm's search space, every end and choice of it checked against the algorithm's settings.

    Raises:
        ConfigError: no space, a setting that the algorithm does not have, or a value that it refuses.
    """
    ranges = settings.space.get(algorithm, {})
    checked_settings(algorithm, base)
    if not ranges:
        raise ConfigError(
            has=f"no search space for {algorithm} in configs/tune.yaml",
            needs=f"one of {', '.join(settings.space) or 'none yet'}, or a space for {algorithm}",
            do=f"write e.g. `space: {{{algorithm}: {{batch_size: {{choices: [16, 32]}}}}}}` (docs/tune.md)",
        )
    for setting, each in ranges.items():
        ends = () if each.share_of_bounds else each.choices or (each.low, each.high)
        for value in ends or (-1.0,):
            checked_settings(algorithm, {**base, setting: value})
    return ranges


class _Tune:
    """One search with its references, its journal and its runs."""

    def __init__(
        self,
        name: str,
        algorithm: str,
        settings: TuneSettings,
        base: dict[str, Any],
        ranges: Mapping[str, Range],
        bench: Bench,
    ) -> None:
        self.name, self.algorithm, self.settings = name, algorithm, settings
        self.base, self.ranges, self.bench = base, ranges, bench
        self.folder = bench.context.paths.trials("tune", name)
        self.working = bench.context.paths.outputs / "interrupted" / f"tune-{name}"
        identity = bench.identity(
            algorithm=algorithm,
            base=base,
            space={key: each.model_dump(mode="json") for key, each in ranges.items()},
            sampler=[settings.sampler, settings.startup, settings.seed, optuna.__version__],
        )
        self.search = Search(self.folder / "journal.log", identity, settings)

    def run(self) -> None:
        """References, then trials, then the summary."""
        known = self.search.told
        missing = max(0, self.settings.trials - len(known))
        print(
            f"{self.name}: at most {self.settings.trials} trials by {self.bench.rule}, {len(known)} of them "
            f"finished before; {len(self.settings.references)} references. The test split is not read."
        )
        context, identity = self.bench.context, self.search.identity
        store = TrialStore(context.paths.root, context.cohort, f"tune {self.name}", identity)
        references = {name: self._reference(name) for name in self.settings.references}
        for name, record in references.items():
            store.log(name, record)
        for told in known:
            store.log(f"trial {told.number}", told.record)
        found = self.search.run(self._propose, self._train)
        bar = Console(stderr=True)
        for told in track(found, f"tuning {self.name}", total=missing, console=bar):
            store.log(f"trial {told.number}", told.record)
            logger.info("%s trial %d: %s", self.name, told.number, _in_words(told.record, self.bench.rule))
        self._finish(references, store)

    def _finish(self, references: Mapping[str, Record], store: TrialStore) -> None:
        best, told = self.search.best, self.search.told
        if best is None:
            raise AlgorithmError(
                has=f"{len(told)} of {len(told)} trials failed; the last: {told[-1].record['failure']}",
                needs="one training that stays finite and has an estimable validation figure",
                do="narrow the space in configs/tune.yaml, or lower learning_rate",
            )
        tuning = Tuning(self.algorithm, self.bench, self.search, tuple(self.ranges), best, references)
        write(self.folder, tuning)
        store.finish(
            best.record, tuple(self.folder / file for file in ("trials.csv", "best.yaml", "tune.png"))
        )
        shutil.rmtree(self.working, ignore_errors=True)
        console = Console()
        console.print(summary(tuning, console.width))

    def _propose(self, trial: optuna.Trial) -> dict[str, Any]:
        return proposal(trial, self.ranges, self.algorithm, self.base, self.bench.known)

    def _train(self, override: dict[str, Any]) -> Record:
        attempt = self.bench.attempt(self.algorithm, {**self.base, **override}, self.working)
        return record_of({**self.base, **override}, override, attempt)

    def _reference(self, name: str) -> Record:
        settings = _base(self.bench.context, name)
        kept = self.search.reference(name, settings)
        if kept is None:
            kept = record_of(settings, {}, self.bench.attempt(name, settings, self.working))
            self.search.keep_reference(name, settings, kept)
        logger.info("%s reference %s: %s", self.name, name, _in_words(kept, self.bench.rule))
        return kept


def record_of(settings: Mapping[str, Any], override: Mapping[str, Any], attempt: Attempt) -> Record:
    """What the journal keeps of a training."""
    trial = attempt.result.trials[0] if attempt.result else None
    failure = attempt.failure
    score = [finite_or(figure, None) for figure in (trial.score or ())] if trial else []
    if None in score:
        failure = f"the validation figure is {NOT_ESTIMABLE}: every group is below minimum_validation_patches"
    figures = {key: finite_or(value, None) for key, value in trial.figures.items()} if trial else {}
    return {
        "settings": dict(override),
        "position": position(settings),
        "score": None if failure else score,
        "figures": {key: value for key, value in figures.items() if key.startswith("validation_")},
        "best_step": figures.get("step"),
        "best_epoch": figures.get("epoch"),
        "failure": failure,
        "seconds": attempt.seconds,
    }


def _base(context: Context, algorithm: str) -> dict[str, Any]:
    """The algorithm's settings for the cohort; a search takes the place of its candidates."""
    settings = load_algorithm(context.configs, context.cohort, algorithm)
    return {key: value for key, value in settings.items() if key != "candidates"}


def _in_words(record: Record, rule: str) -> str:
    if record["failure"]:
        return f"{record['settings']} failed: {record['failure']}"
    return f"{record['settings']} {rule} {record['figures'][rule]:.3f} at epoch {record['best_epoch']:g}"
