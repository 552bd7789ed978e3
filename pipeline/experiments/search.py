"""The search itself: an Optuna study in a journal file, one trial after the other.

A proposal depends on the seed, its number and the finished trials before it, and on nothing else: a search
that was interrupted proposes what it would have proposed otherwise, the interrupted trial included.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from models.groups import TrainGroups, TrainLabels
from patching.damage import DAMAGE, in_words
from patching.errors import ArtifactError
from pipeline.experiments.beta_range import beta_at, largest_beta
from pipeline.experiments.search_space import Range, TuneSettings

_RECORD = "record"

Record = dict[str, Any]
"""What is kept of a training: settings, position, score (or none), figures, steps, failure, seconds."""


class Told(NamedTuple):
    """A finished trial.

    Attributes:
        number: in the order of the trials, from 0.
        record: as it was told.
    """

    number: int
    record: Record

    @property
    def score(self) -> tuple[float, ...] | None:
        """Compared in the order of `models.metrics.selection.Score`; none where the trial failed."""
        return None if self.record["score"] is None else tuple(self.record["score"])


class Search:
    """Trials of one search, kept in a journal that several searches may share.

    Args:
        journal: the file; made where there is none.
        identity: of everything that a trial's result depends on: trials of another one are left alone.
        settings: of the tune stage.
    """

    def __init__(self, journal: Path, identity: str, settings: TuneSettings) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.identity, self.settings = identity, settings
        journal.parent.mkdir(parents=True, exist_ok=True)
        _mend(journal)
        try:
            storage = JournalStorage(JournalFileBackend(str(journal)))
            self._study = optuna.create_study(
                storage=storage, study_name=identity, direction="maximize", load_if_exists=True
            )
            others = set(optuna.get_all_study_names(storage)) - {identity}
            studies = [optuna.load_study(study_name=name, storage=storage) for name in others]
        except DAMAGE as error:
            raise ArtifactError(
                has=f"{journal}, which is damaged ({in_words(error).splitlines()[0]})",
                needs="the journal of the search's trials",
                do="set it aside and run `evenpatch tune` again: the search begins anew",
            ) from error
        self.earlier = sum(len(_recorded(each)) for each in studies)
        """Finished and failed trials of other settings or data in the same journal."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._close(trial.number, trial.user_attrs.get(_RECORD))

    @property
    def told(self) -> list[Told]:
        """Finished and failed trials in order; those that were interrupted are no trials."""
        return [
            Told(number, trial.user_attrs[_RECORD]) for number, trial in enumerate(_recorded(self._study))
        ]

    @property
    def best(self) -> Told | None:
        """The trial with the greatest score, of equal ones the first; none if all failed."""
        scored = [(trial.score, trial) for trial in self.told if trial.score is not None]
        return max(scored, key=lambda pair: pair[0])[1] if scored else None

    def run(
        self, propose: Callable[[optuna.Trial], dict[str, Any]], train: Callable[[dict[str, Any]], Record]
    ) -> Iterator[Told]:
        """Yield every trial that is missing up to the settings' number, once it is finished.

        Args:
            propose: makes settings of a trial, as `proposal`.
            train: makes a record of settings.
        """
        while (number := len(self.told)) < self.settings.trials:
            self._study.sampler = _sampler(self.settings, number)
            trial = self._study.ask()
            record = train(propose(trial))
            trial.set_user_attr(_RECORD, record)
            self._close(trial.number, record)
            yield Told(number, record)

    def reference(self, name: str, settings: Mapping[str, Any]) -> Record | None:
        """What is kept of a reference with these settings."""
        kept = self._study.user_attrs.get(f"reference:{name}")
        return kept["record"] if kept and kept["settings"] == dict(settings) else None

    def keep_reference(self, name: str, settings: Mapping[str, Any], record: Record) -> None:
        """Keep a reference's record."""
        self._study.set_user_attr(f"reference:{name}", {"settings": dict(settings), "record": record})

    def _close(self, number: int, record: Record | None) -> None:
        if record is None or record["score"] is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, record["score"][0])


def _recorded(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that were finished or failed, not those that were interrupted."""
    return [trial for trial in study.get_trials(deepcopy=False) if _RECORD in trial.user_attrs]


def _mend(journal: Path) -> None:
    """Drop a last line that a kill or a full disk cut short: Optuna would write on behind it, and then
    could not read the journal any more."""
    if not journal.is_file():
        return
    with journal.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def proposal(
    trial: optuna.Trial,
    ranges: Mapping[str, Range],
    algorithm: str,
    base: Mapping[str, Any],
    known: TrainGroups | TrainLabels,
) -> dict[str, Any]:
    """Settings to try: every plain range first, then beta inside the bounds that they leave.

    Raises:
        ConfigError, EmptyGroupError, AlgorithmError: as `largest_beta`.
    """
    found = {name: _plain(trial, name, each) for name, each in ranges.items() if not each.share_of_bounds}
    for name, each in ranges.items():
        if each.share_of_bounds:
            share = trial.suggest_float(f"{name}_share", *each.share_of_bounds)
            largest = largest_beta(algorithm, {**base, **found}, known, each.largest_position)
            found[name] = beta_at(share, largest)
    return found


def _plain(trial: optuna.Trial, name: str, each: Range) -> Any:
    if each.choices is not None:
        return trial.suggest_categorical(name, each.choices)
    low, high = each.low or 0.0, each.high or 0.0
    if each.whole:
        return trial.suggest_int(name, int(low), int(high), log=each.log)
    # Four digits are enough to tell settings apart, and can be pasted.
    return min(max(float(f"{trial.suggest_float(name, low, high, log=each.log):.4g}"), low), high)


def _sampler(settings: TuneSettings, number: int) -> BaseSampler:
    seed = int(np.random.SeedSequence([settings.seed, number]).generate_state(1)[0])
    if settings.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=settings.startup)
