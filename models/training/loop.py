"""The one training loop: batch plans in, the best state by the validation split's rule out."""

import logging
import math
import signal
from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.networks import Networks
from models.data.augment import Augmenter
from models.data.dataset import LabelledPatches, PatchData
from models.determinism import deterministic
from models.metrics.selection import Judge
from models.networks.classifier import Classifier
from models.training.interruption import StopRequest, StopRequested, stop_requests
from models.training.keeping import Kept, TrainResult, check_in_memory, keep, outcome
from models.training.loading import Loader, Sharing, check_forward_passes, steps_ahead
from models.training.optimization import evenly_spaced, make_optimizer, move_average
from models.training.processes import (
    check_agreement,
    check_batch_norm,
    check_divisible,
    leave_buffers,
    make_accelerator,
    predict_logits,
    total,
)
from models.training.resume import StateFile, TrainingState, copied, without_prefix
from models.training.settings import TrainSettings
from models.training.step import Stepper, mean_figures

logger = logging.getLogger(__name__)


class Trainer:
    """A training of one classifier by one algorithm with one seed.

    Args:
        classifier: initialized; trained in place.
        algorithm: bound to `train`.
        train: the training split without its attributes, in the order of the algorithm's samples.
        judge: of the validation split.
        settings: of the training.
        seed: of batches, augmentation and dropout. On a CPU the same seed gives the same weights.
        companions: initialized; one of every name in `algorithm.companions`.
        beside: further judges of the same patches, by other attributes. Each has its best state kept in
            memory (`restored`), as if it were the only one.
        oracle: a judge of test patches, for columns `oracle_*` of the history that nothing is chosen by.
        listen: called with the logits of every validation.

    Raises:
        ConfigError: the algorithm or BatchNorm cannot do with a step in parts, or with several processes.
    """

    def __init__(
        self,
        classifier: Classifier,
        algorithm: AbstractAlgorithm[Any, Any],
        train: LabelledPatches,
        judge: Judge,
        settings: TrainSettings,
        seed: int,
        *,
        companions: Mapping[str, Classifier] | None = None,
        beside: Mapping[str, Judge] | None = None,
        oracle: Judge | None = None,
        listen: Callable[[NDArray[np.float32]], None] | None = None,
    ) -> None:
        self.classifier, self.algorithm, self.settings, self.seed = classifier, algorithm, settings, seed
        self.data, self.judge, self.oracle, self.listen = train, judge, oracle, listen
        self.companions, self.beside = dict(companions or {}), dict(beside or {})
        self.kept: dict[str, Kept] = {}
        self.accelerator = make_accelerator(settings)
        check_divisible(type(algorithm).__name__, algorithm, settings)
        check_batch_norm(classifier, settings, self.accelerator)
        optimizer = make_optimizer([classifier, *self.companions.values()], settings)
        main, *others, self.optimizer = self.accelerator.prepare(
            classifier, *self.companions.values(), optimizer
        )
        leave_buffers(main)
        self.networks = Networks(
            main, classifier, dict(zip(self.companions, others, strict=True)), settings.batch_norm
        )
        self.steps = math.ceil(settings.epochs * len(train) / algorithm.samples_per_step)
        self.validation_steps = evenly_spaced(
            self.steps, math.ceil(settings.epochs / settings.validate_every)
        )
        self.step = Stepper(
            networks=self.networks,
            algorithm=algorithm,
            accelerator=self.accelerator,
            optimizer=self.optimizer,
            settings=settings,
            steps=self.steps,
        )
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        self.load = Loader(
            data=train,
            augmenter=Augmenter(settings.augmentation, classifier.normalization.raw_std_C),
            sharing=Sharing(algorithm.strata_N, rank, processes, settings.micro_batch),
            seed=seed,
            ahead=steps_ahead(settings, self.accelerator.device, processes),
            pinned=self.accelerator.device.type == "cuda",
        )
        first = next(iter(algorithm.batches(np.random.default_rng(seed))))
        check_forward_passes(classifier, self.load, first, settings)

    def run(
        self,
        *,
        state_path: Path | None = None,
        fingerprint: str = "",
        title: str = "train",
        quiet: bool = False,
    ) -> TrainResult:
        """Train for the whole budget and keep the best state.

        Args:
            state_path: where the state is saved at every validation, after `save_minutes`, and when the
                process is told to end; taken up if it is of this training.
            fingerprint: tells this training from every other.
            title: of the progress bar.
            quiet: no progress bar.

        Raises:
            ConfigError: a state to save, and judges beside, whose best states are in memory alone.
            DivergenceError: names the step and its patches; the last saved state is kept.
            CheckpointError: the saved state is damaged.
            StopRequested: SIGTERM or Ctrl-C came; the state of the last finished step is saved.
        """
        first = self.accelerator.is_main_process
        check_in_memory(state_path, self.beside)
        file = StateFile(state_path, self.settings.save_minutes, writes=first) if state_path else None
        state, self.kept = self._start(file, fingerprint), {name: Kept() for name in self.beside}
        plans = self.algorithm.batches(np.random.default_rng(self.seed))
        # Batches have memory (the pass of every group), so that resuming replays them.
        remaining = islice(plans, state.step, self.steps)
        with (
            deterministic(self.accelerator.device),
            _progress_bar(quiet=quiet or not first) as progress,
            stop_requests() as request,
            self.load.steps(remaining, state.step) as steps,
        ):
            bar = progress.add_task(title, total=self.steps, completed=state.step, figures="")
            for loaded in steps:
                state.window.append(self.step(loaded))
                state.step += 1
                state.samples_seen += len(loaded.plan)
                if self.settings.weight_average is not None:
                    move_average(
                        state.average, self.classifier.state_dict(), state.step, self.settings.weight_average
                    )
                progress.update(bar, completed=state.step)
                validated = state.step in self.validation_steps
                if validated:
                    progress.update(bar, figures=self.judge.short(self._validate(state)))
                self._save(file, state, request, validated=validated)
        # Autocast belongs to training: whoever predicts later does so in float32.
        self.accelerator.unwrap_model(self.networks.main, keep_fp32_wrapper=False)
        self.classifier.load_state_dict(state.best)
        return outcome(state, self.judge)

    def restored(self, name: str) -> tuple[Classifier, TrainResult]:
        """After `run`: another classifier, with the weights that were best by a judge beside."""
        classifier = deepcopy(self.classifier)
        classifier.load_state_dict(self.kept[name].best)
        return classifier, outcome(self.kept[name], self.beside[name])

    def logits(
        self, patches: LabelledPatches | PatchData, classifier: Classifier | None = None
    ) -> NDArray[np.float32]:
        """Logits [N, K] by the classifier as it is now, or a restored one, the same in every process."""
        return predict_logits(self.accelerator, classifier or self.classifier, patches.images)

    def _save(
        self, file: StateFile | None, state: TrainingState, request: StopRequest, *, validated: bool
    ) -> None:
        """Save where it is time to; all processes end at the same step."""
        stopping = bool(total(self.accelerator, request.number))
        if file and (validated or stopping or file.due):
            if not validated:
                self._capture(state)
            file.save(state)
        if stopping:
            raise StopRequested(request.number or signal.SIGTERM)

    def _start(self, file: StateFile | None, fingerprint: str) -> TrainingState:
        found = file.load(fingerprint, self.optimizer) if file else None
        check_agreement(self.accelerator, found.step if found else 0)
        if found is None:
            weights = copied(self.classifier.state_dict())
            average = copied(weights) if self.settings.weight_average else {}
            return TrainingState(
                fingerprint=fingerprint, step=0, samples_seen=0, window=[], history=[], best_step=0,
                model=weights, average=average, best={}, companions={}, method={},
                optimizer=self.optimizer.state_dict(),
            )  # fmt: skip
        logger.info("going on at step %d of %d", found.step, self.steps)
        self.classifier.load_state_dict(found.model)
        for name, companion in self.companions.items():
            companion.load_state_dict(without_prefix(found.companions, name))
        self.algorithm.state.update(found.method)
        self.optimizer.load_state_dict(found.optimizer)
        device = self.accelerator.device
        found.average = {key: value.to(device) for key, value in found.average.items()}
        return found

    def _capture(self, state: TrainingState) -> None:
        state.capture(self.classifier, self.companions, self.algorithm.state, self.optimizer)

    def _validate(self, state: TrainingState) -> dict[str, float]:
        self._capture(state)
        judged = state.average or state.model
        self.classifier.load_state_dict(judged)
        epoch = round(state.samples_seen / len(self.data), 4)
        position = {"step": state.step, "samples_seen": state.samples_seen, "epoch": epoch}
        position |= mean_figures(state.window)
        with self.accelerator.autocast():
            logits_NK = self.logits(self.judge.patches)
            tested = self._tested()
            row = {**position, **self.judge.figures(logits_NK), **tested}
            keep(state, self.judge, row, judged)
            for name, judge in self.beside.items():
                keep(self.kept[name], judge, {**position, **judge.figures(logits_NK), **tested}, judged)
        if self.listen:
            self.listen(logits_NK)
        state.window = []
        self.classifier.load_state_dict(state.model)
        return row

    def _tested(self) -> dict[str, float]:
        if self.oracle is None:
            return {}
        found = self.oracle.figures(self.logits(self.oracle.patches))
        return {f"oracle_{key}": found[f"validation_{key}"] for key in ("wga", "gba", "average")}


def _progress_bar(*, quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    figures = TextColumn("{task.fields[figures]}")
    return Progress(*columns, figures, console=Console(stderr=True), disable=quiet)
