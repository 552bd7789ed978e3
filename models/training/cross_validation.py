"""The step and the candidate chosen within the training split, for too few validation patients to choose by.

Neither the validation nor the test split decides anything: the first stays what calibration and decision
rules are fitted on, which a model trained on its patients would spoil.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models.metrics.selection import Choice, Judge, Score
from models.training.attempts import Announce, Attempts, Failure, FitResult, Trial, no_candidate
from models.training.first_models import patient_folds
from models.training.making import candidates
from models.training.processes import is_first_process
from models.training.setup import Setup, digest_of
from patching.errors import AlgorithmError, CheckpointError, DivergenceError, EmptyGroupError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Pooled:
    """A candidate's best validation out of fold; `number` counts from 1."""

    score: Score
    number: int
    figures: Mapping[str, float]

    @property
    def told(self) -> dict[str, float]:
        return {key.removeprefix("validation_"): value for key, value in self.figures.items()}


def cross_validated(
    setup: Setup, name: str, settings: Mapping[str, Any], announce: Announce | None = None
) -> FitResult:
    """Choose by inner folds of the training patients, then train on the whole training split.

    Every candidate is trained on all but one fold, for each fold, and the logits of the folds that were not
    seen are pooled, validation by validation. The candidate and the validation of the best pooled figures are
    taken: that candidate is trained on the whole split, and its state at that validation is kept. All
    trainings have the same budget in epochs of what they are trained on. Thresholds of the attribute are
    those of the whole split. First models keep their last state, unless the training split judges them.

    Args:
        setup: its validation split gives figures alone.
        name: of the method.
        settings: its YAML, `candidates` included.
        announce: called before the last training.

    Raises:
        ConfigError: a rule over groups, and training samples without attributes.
        AlgorithmError: fewer patients than folds, or too few of a label to choose by.
        EmptyGroupError, DivergenceError: every candidate failed.
        CheckpointError: what an interrupted fit left is damaged.
    """
    overrides, folds = candidates(settings), setup.settings.inner_folds
    found = _compared(setup, name, settings)
    trials = [
        Trial(override, None, {}, (), failure=each.in_one_line)
        if isinstance(each, Failure)
        else Trial(override, each.score, {}, (), out_of_fold=each.told)
        for override, each in zip(overrides, found, strict=True)
    ]
    compared = {number: each for number, each in enumerate(found) if isinstance(each, _Pooled)}
    if not compared:
        raise no_candidate([each for each in found if isinstance(each, Failure)])
    # max keeps the first of equals.
    chosen = max(compared, key=lambda number: compared[number].score)
    number = compared[chosen].number
    last = {**settings, "candidates": (overrides[chosen],)}
    result = Attempts({"": setup}, name, last, announce, kept=number).run()[""]
    own = trials[chosen]
    trials[chosen] = replace(result.trials[0], score=own.score, out_of_fold=own.out_of_fold)
    why = f"validation {number} of every training, by {folds} inner folds of the training patients"
    return replace(result, trials=tuple(trials), chosen=chosen, choice=Choice("cross_validation", why))


def _compared(setup: Setup, name: str, settings: Mapping[str, Any]) -> list[_Pooled | Failure]:
    """What every candidate reached out of fold, or why it failed."""
    judge, fold_N = _judge(setup), _inner_folds(setup)
    overrides, folds = candidates(settings), setup.settings.inner_folds
    logger.info(
        "%s: %d trainings choose, before the one that is kept: of %d candidates in %d inner folds, each on "
        "%d of %d parts of the training patches",
        name, folds * len(overrides), len(overrides), folds, folds - 1, folds,
    )  # fmt: skip
    found: list[_Pooled | Failure] = []
    for number, override in enumerate(overrides):
        title, own = (
            f"{name} {number + 1}/{len(overrides)} {override}",
            {**settings, "candidates": (override,)},
        )
        try:
            pooled = _pooled(setup, name, own, judge, fold_N, title)
        except (AlgorithmError, EmptyGroupError, DivergenceError) as error:
            logger.warning("%s failed in an inner fold: %s", title, error)
            found.append(error)
        else:
            figures = judge.short(pooled.figures).replace("validation", "out of fold")
            logger.info("%s: best at validation %d, %s", title, pooled.number, figures)
            found.append(pooled)
    return found


def _judge(setup: Setup) -> Judge:
    """Of all training samples, whose attributes count where they are known."""
    own = setup.settings
    judge = Judge(
        setup.train if own.attributes == "known" else setup.train.labelled,
        setup.layout,
        own.selection,
        own.minimum_validation_patches,
        own.selection_smoothing,
        choose_by="auto",
        minimum_patients=own.minimum_validation_patients,
    )
    if judge.choice.by == "last":
        found = judge.choice.why.replace("validation patient(s)", "training patient(s)")
        raise AlgorithmError(
            has=f"choose_by: cross_validation, and {found}",
            needs="so many training patients in a group of every label",
            do="gather patients, lower minimum_validation_patients, or set choose_by: last",
        )
    return judge


def _inner_folds(setup: Setup) -> NDArray[np.int64]:
    """Fold of every training sample: by patient, even over groups where they are known, else over classes."""
    train = setup.train
    known = setup.settings.attributes == "known"
    stratum_N = setup.layout.group(train.label_N, train.attribute_N) if known else train.label_N
    patient_N = train.patient_N
    if patient_N is None:
        logger.warning("patients are not known: in the inner folds, each patch counts as one")
        patient_N = np.arange(len(train)).astype(np.str_)
    return patient_folds(patient_N, stratum_N, setup.settings.inner_folds, setup.seed, "cross-validation")


def _pooled(
    setup: Setup,
    name: str,
    settings: Mapping[str, Any],
    judge: Judge,
    fold_N: NDArray[np.int64],
    title: str,
) -> _Pooled:
    """A candidate's best validation by the pooled logits of the folds that its trainings did not see."""
    parts: list[tuple[NDArray[np.int64], list[NDArray[np.float32]]]] = []
    for fold in range(int(fold_N.max()) + 1):
        logger.info("%s: inner fold %d of %d", title, fold + 1, int(fold_N.max()) + 1)
        rows_M = np.flatnonzero(fold_N == fold)
        parts.append((rows_M, _listened(setup, name, settings, np.flatnonzero(fold_N != fold), rows_M)))
    history: list[dict[str, float]] = []
    for number in range(min(len(logits) for _, logits in parts)):
        logits_NK = np.empty((len(fold_N), setup.layout.n_classes), np.float32)
        for rows_M, logits in parts:
            logits_NK[rows_M] = logits[number]
        history.append(judge.figures(logits_NK))
    pooled = [
        _Pooled(judge.score(history[: number + 1]), number + 1, row) for number, row in enumerate(history)
    ]
    return max(pooled, key=lambda each: each.score)


def _listened(
    setup: Setup,
    name: str,
    settings: Mapping[str, Any],
    seen_M: NDArray[np.int64],
    unseen_M: NDArray[np.int64],
) -> list[NDArray[np.float32]]:
    """Logits of unseen training samples, at every validation of a training on the others: of a finished one,
    where an interrupted fit left it in the working folder."""
    heard: list[NDArray[np.float32]] = []
    known = setup.settings.attributes == "known"
    inner = replace(
        setup,
        train=setup.train.subset(seen_M),
        validation=setup.train.subset(unseen_M),
        settings=setup.settings.model_copy(
            update={"choose_by": "last", "attributes": "known" if known else "nowhere"}
        ),
        oracle=None,
        working_folder=None,
        listen=heard.append,
    )
    content = [
        "inner fold", name, settings, inner.settings.identity(), asdict(inner.normalization), setup.seed,
        torch.__version__,
    ]  # fmt: skip
    folder = setup.working_folder
    path = folder / f"{name}-inner-{digest_of(content, inner.columns)}.safetensors" if folder else None
    if path and path.is_file():
        return _read(path)
    Attempts({"": inner}, name, settings).run()
    if path and is_first_process():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        save_file({str(number): logits_MK for number, logits_MK in enumerate(heard)}, part)
        part.replace(path)
    return heard


def _read(path: Path) -> list[NDArray[np.float32]]:
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            has=f"{path}: {error}", needs="logits of an inner training", do="delete the file and start over"
        ) from error
    return [found[str(number)] for number in range(len(found))]
