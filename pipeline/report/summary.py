"""The first screen: whether to trust the model, in sentences, one picture, and what stands behind them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.metrics.intervals import FEW_PATIENTS, Interval
from pipeline.files import NOT_ESTIMABLE
from pipeline.report.care import Care, care_told
from pipeline.report.gate import GateResult, gate_result
from pipeline.report.sources import Sources
from pipeline.report.subject import Subject
from pipeline.results.figures import FAMILY, Scoreboard
from pipeline.results.verdict import estimable

_TUMOR = 1


@dataclass(frozen=True)
class GroupErrors:
    """How often a group is judged wrongly.

    Attributes:
        name: the group's, with the threshold's value.
        error: "misses" or "false alarms".
        label: 1 for tumor.
        share: of wrong patches, with its interval; NaN where it is not estimable.
        told: errors per 100 patches with the interval, in words.
        worst: whether no group is judged wrongly more often.
        patches, patients: behind it.
    """

    name: str
    error: str
    label: int
    share: Interval
    told: str
    worst: bool
    patches: int
    patients: int


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
        "trained": _trained(sources, subject),
        "sentences": (sentence(groups), *care_told(cares, below)),
        "rule": _rule(subject, cares, below),
        "groups": groups,
        "picture": " ".join(f"{each.name}: {each.told}." for each in groups),
        "evidence": evidence_lines(sources, subject),
        "gate": _gate(sources, subject),
    }


def errors_of(subject: Subject) -> tuple[GroupErrors, ...]:
    """Of every group, tumor first."""
    board, method, layout = subject.board, subject.method, subject.board.layout
    found = []
    for number, (size, accuracy) in enumerate(zip(board.sizes, method.groups, strict=True)):
        label, attribute = divmod(number, len(layout.attributes))
        share = _errors(accuracy)
        error = "misses" if label == _TUMOR else "false alarms"
        found.append(
            GroupErrors(
                name=f"{layout.classes[label]} patches with {_attribute(board, attribute)}",
                error=error,
                label=label,
                share=share,
                told=f"{error} {_per_hundred(share, ' of 100')}" if estimable(share) else NOT_ESTIMABLE,
                worst=number in method.worst_groups,
                patches=round(size.patches),
                patients=size.patients,
            )
        )
    return tuple(sorted(found, key=lambda group: -group.label))


def _errors(accuracy: Interval) -> Interval:
    """The share of wrong patches for that of right ones."""
    return Interval(
        estimate=1 - accuracy.estimate,
        low=1 - accuracy.high,
        high=1 - accuracy.low,
        level=accuracy.level,
        undefined_share=accuracy.undefined_share,
        spread=accuracy.spread,
        holds=accuracy.holds,
        patients=accuracy.patients,
    )


def _attribute(board: Scoreboard, attribute: int) -> str:
    """`little tissue (up to 45 %)`; the names alone where there is no threshold."""
    name, above = board.layout.attributes[attribute], board.value
    if above is None:
        return name
    return f"{name} ({('over' if attribute else 'up to')} {100 * above:.3g} %)"


def _per_hundred(share: Interval, unit: str = "") -> str:
    """
    >>> _per_hundred(Interval(0.234, 0.151, 0.33, 0.95, 0.0, 0.1), " of 100")
    '23 of 100 (15 to 33)'
    """
    return f"{_count(share.estimate)}{unit} ({_count(share.low)} to {_count(share.high)})"


def _count(share: float) -> str:
    """Of 100, whole; not 0 where there are some, nor 100 where some are not."""
    if 0 < share < 0.005:
        return "under 1"
    return "over 99" if 0.995 < share < 1 else f"{100 * share:.0f}"


def sentence(groups: Sequence[GroupErrors]) -> str:
    """The worst group by name, and what the others are held against it."""
    known = [group for group in groups if estimable(group.share)]
    unknown = _unknown([group for group in groups if not estimable(group.share)])
    if not known:
        return f"How often it errs cannot be said: no group has enough test patients. {unknown}"
    worst = next(group for group in known if group.worst)
    others = [group for group in known if group is not worst]
    verb = "it misses" if worst.label == _TUMOR else "it raises a false alarm in"
    told = f"Of 100 {worst.name} {verb} {_per_hundred(worst.share)}"
    if not others:
        return f"{told}. No other group can be judged. {unknown}"
    most = max((group.share for group in others), key=lambda share: (share.estimate, share.high))
    every = "the other groups" if not unknown else "the other groups that can be judged"
    amount = _per_hundred(most, " of 100")
    amount = f"at most {amount}" if most.estimate else f"none{amount.removeprefix('0')}"
    return f"{told}; in {every} it errs in {amount}. {unknown}".rstrip()


def _unknown(groups: Sequence[GroupErrors]) -> str:
    if not groups:
        return ""
    parts = [f"{each.name} ({each.patches:,} patches of {each.patients} test patients)" for each in groups]
    return f"Not known, too few: {'; '.join(parts)}."


def cares_of(subject: Subject, below: float) -> tuple[Care, ...]:
    """Of tumor patches first; nothing where patches have no tissue fraction."""
    bins = subject.board.bins
    if bins is None:
        return ()
    return tuple(Care.of(label, bins, subject.method.bins, below) for label in (1, 0))


def _rule(subject: Subject, cares: Sequence[Care], below: float) -> str:
    limits, level = subject.board.settings, f"{100 * subject.board.settings.level:g} %"
    judged, tenths = sum(care.judged for care in cares), sum(care.tenths for care in cares)
    return (
        f"Brackets: {level} intervals, for all groups together. Care is advised by rule: tumor and non-tumor "
        "patches are each cut into tenths by their tissue fraction, and marked are those whose accuracy’s "
        f"interval begins under {100 * below:g} %, with what lies untested between or beyond them. {judged} "
        f"of {tenths} tenths could be judged; it takes {limits.minimum_patches} patches of "
        f"{limits.minimum_patients} patients."
    )


def _trained(sources: Sources, subject: Subject) -> str:
    seeds = len(subject.method.pool.seeds)
    trainings = "one training" if seeds == 1 else f"mean of {seeds} trainings"
    return (
        f"{sources.named(subject.run.algorithm)}, {trainings}, {_in_sentence(subject.board.told_threshold)}"
    )


def _in_sentence(heading: str) -> str:
    return f"{heading[:1].lower()}{heading[1:]}"


def evidence_lines(sources: Sources, subject: Subject) -> list[tuple[str, str]]:
    """How far the figures carry: a name and a sentence each."""
    board = subject.board
    normal, tumor = board.patients_K
    slides = subject.run.patches["slide_id"].nunique()
    few = [f"{size.name} ({size.patients})" for size in board.few]
    patients = f"{board.patients:,}; {tumor:,} of them have tumor patches, {normal:,} non-tumor patches."
    if few:
        patients += f" Under {FEW_PATIENTS} in {'; '.join(few)}: those intervals say little."
    return [
        ("Test patients", patients),
        ("Test patches", f"{board.patches:,} of {slides:,} slides."),
        ("Trainings", _trainings(subject)),
        ("Division of patients", " ".join(_division(sources, subject))),
    ]


def _trainings(subject: Subject) -> str:
    seeds = len(subject.method.pool.seeds)
    if subject.method.figures[FAMILY].holds == "patients":
        return "One seed. Intervals hold other test patients, and not another training."
    told = f"{seeds} seeds. Intervals hold other test patients and other trainings."
    if seeds == 2:
        told += (
            " Two trainings tell little of a third (one degree of freedom), so that intervals are very wide."
        )
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
        share = _per_hundred(_errors(worst), " of 100") if estimable(worst) else NOT_ESTIMABLE
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
