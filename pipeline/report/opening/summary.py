"""The first screen: whether to trust the model, in sentences, one picture, and what stands behind them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.metrics.intervals import FEW_PATIENTS
from pipeline.files import NOT_ESTIMABLE
from pipeline.report.opening.care import Care, care_told
from pipeline.report.opening.errors import axis_of, errors_for, errors_of, per_hundred, sentence
from pipeline.report.opening.gate import GateResult, gate_result
from pipeline.report.sources import Sources
from pipeline.report.subject import Subject
from pipeline.results.figures import FAMILY
from pipeline.results.verdict import estimable

_BEFORE_USE = (
    "All test patients are of this cohort: nothing here tells how it does with another lab, scanner or "
    "stain. Test it on your own slides first."
)


def values(sources: Sources) -> Mapping[str, Any]:
    """What first.html shows; `subject` is none where the split has no test patients."""
    subject = sources.subject
    if subject is None:
        return {"subject": None}
    below = sources.settings.care_below
    groups = errors_of(subject)
    cares = cares_of(subject, below)
    return {
        "subject": subject,
        "sentences": (sentence(groups), *care_told(cares, below)),
        "rule": _rule(subject, cares, below),
        "cares": cares,
        "groups": groups,
        "axis": axis_of(groups),
        "picture": " ".join(f"{each.name}: {each.told}." for each in groups),
        "evidence": evidence_lines(sources, subject),
        "gate": _gate(sources, subject),
    }


def cares_of(subject: Subject, below: float) -> tuple[Care, ...]:
    """Of tumor patches first; nothing where patches have no tissue fraction."""
    bins = subject.board.bins
    if bins is None:
        return ()
    return tuple(Care.of(label, bins, subject.method.bins, below) for label in (1, 0))


def _rule(subject: Subject, cares: Sequence[Care], below: float) -> str:
    limits, level = subject.board.settings, f"{100 * subject.board.settings.level:g} %"
    brackets = f"Brackets: {level} intervals, for all groups together"
    if not cares:
        return brackets
    judged, tenths = sum(care.judged for care in cares), sum(care.tenths for care in cares)
    return (
        f"{brackets}. Care is advised where, in a tenth of the tissue fraction, a label’s interval begins "
        f"under {100 * below:g} % right: so also where few were tested, and none between or beyond. {judged} "
        f"of {tenths} tenths could be judged ({limits.minimum_patches} patches of {limits.minimum_patients} "
        "patients)"
    )


def _trained(sources: Sources, subject: Subject) -> str:
    """Method, tissue threshold, and how many trainings the intervals are of."""
    threshold, seeds = subject.board.told_threshold, len(subject.method.pool.seeds)
    told = f"{sources.named(subject.run.algorithm)}, {threshold[0].lower()}{threshold[1:]}."
    if subject.method.figures[FAMILY].holds == "patients":
        number = "One training" if seeds == 1 else f"Mean of {seeds} trainings"
        return f"{told} {number}: intervals cover chance in which patients were tested, not a retraining."
    told += f" {seeds} trainings: intervals cover chance in which patients were tested, and in training."
    if seeds == 2:
        told += " Two tell little of a third (one degree of freedom), so that intervals are very wide."
    return told


def evidence_lines(sources: Sources, subject: Subject) -> list[tuple[str, str]]:
    """How far the figures carry: a name and a sentence or two each."""
    return [
        ("Model", _trained(sources, subject)),
        ("Test patients", _tested(subject)),
        ("Division of patients", " ".join(_division(sources, subject))),
        ("Before use", _BEFORE_USE),
    ]


def _tested(subject: Subject) -> str:
    """How many, and what lacks: patients of a label, or of a group."""
    board, slides = subject.board, subject.run.patches["slide_id"].nunique()
    told = f"{board.patients:,}, with {board.patches:,} patches of {slides:,} slides."
    lacking = [
        f"{n:,} with {name} patches"
        for name, n in zip(board.layout.classes, board.patients_K, strict=True)
        if n < board.patients
    ]
    if lacking:
        told += f" Of these {' and '.join(lacking)}."
    few = [f"{size.name} ({size.patients})" for size in board.few]
    if few:
        told += f" Under {FEW_PATIENTS} in {'; '.join(few)}: those intervals say little."
    return told


def _division(sources: Sources, subject: Subject) -> Iterator[str]:
    yield "One split: which patients are tested was decided once."
    found = [
        (board, method)
        for board in sources.study
        for method in board.methods
        if (board.threshold, method.algorithm) == (subject.board.threshold, subject.method.algorithm)
    ]
    if not sources.study:
        yield f"No study; `make study COHORT={sources.evidence.paths.cohort}` divides them again and again."
    elif not found:
        yield "The study does not hold this model."
    for board, method in found:
        worst = method.figures[FAMILY]
        share = per_hundred(errors_for(worst), " of 100") if estimable(worst) else NOT_ESTIMABLE
        yield (
            f"Beside it a study of {len(method.pool.runs)} repeats with {board.patients:,} patients: models "
            f"trained alike err in the worst group in {share}."
        )


def _gate(sources: Sources, subject: Subject) -> GateResult:
    patches = subject.run.patches
    right = patches["prediction"] == patches["label"]
    by_group = right.groupby(patches["group"]).mean()
    judged = [g for g, size in enumerate(subject.board.sizes) if size.estimable and g in by_group]
    worst = float(by_group[judged].min()) if judged else float("nan")
    return gate_result(sources.evidence.paths, subject.run.name, worst, subject.board.patients)
