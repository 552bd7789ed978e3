"""How often the model errs in every group, and the sentences that the page begins with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from models.metrics.intervals import Interval
from pipeline.files import NOT_ESTIMABLE
from pipeline.report.subject import Subject
from pipeline.results.figures import Scoreboard
from pipeline.results.verdict import estimable

_TUMOR = 1


@dataclass(frozen=True)
class GroupErrors:
    """How often a group is judged wrongly.

    Attributes:
        name: the group's, with the threshold's value.
        attribute: its value of the attribute, as `little tissue`.
        error: "misses" or "false alarms".
        label: 1 for tumor.
        share: of wrong patches, with its interval; NaN where it is not estimable.
        told: errors per 100 patches with the interval, in words.
        worst: whether no group is judged wrongly more often.
        patches, patients: behind it.
    """

    name: str
    attribute: str
    error: str
    label: int
    share: Interval
    told: str
    worst: bool
    patches: int
    patients: int


def errors_of(subject: Subject) -> tuple[GroupErrors, ...]:
    """Of every group, tumor first."""
    board, method, layout = subject.board, subject.method, subject.board.layout
    found = []
    for number, (size, accuracy) in enumerate(zip(board.sizes, method.groups, strict=True)):
        label, attribute = divmod(number, len(layout.attributes))
        share = errors_for(accuracy)
        error = "misses" if label == _TUMOR else "false alarms"
        found.append(
            GroupErrors(
                name=f"{layout.classes[label]} patches with {_attribute(board, attribute)}",
                attribute=layout.attributes[attribute],
                error=error,
                label=label,
                share=share,
                told=f"{error} {per_hundred(share, ' of 100')}" if estimable(share) else NOT_ESTIMABLE,
                worst=number in method.worst_groups,
                patches=round(size.patches),
                patients=size.patients,
            )
        )
    return tuple(sorted(found, key=lambda group: -group.label))


def axis_of(groups: Sequence[GroupErrors]) -> int:
    """Errors of 100 where the picture's axis ends: the least of three that holds every interval."""
    widest = max((100 * group.share.high for group in groups if estimable(group.share)), default=0.0)
    return next((end for end in (25, 50) if widest <= end), 100)


def errors_for(accuracy: Interval) -> Interval:
    """The share of wrong patches for that of right ones."""
    return replace(accuracy, estimate=1 - accuracy.estimate, low=1 - accuracy.high, high=1 - accuracy.low)


def _attribute(board: Scoreboard, attribute: int) -> str:
    """`little tissue (up to 45 %)`; the names alone where there is no threshold."""
    name, above = board.layout.attributes[attribute], board.value
    if above is None:
        return name
    return f"{name} ({('over' if attribute else 'up to')} {100 * above:.3g} %)"


def per_hundred(share: Interval, unit: str = "") -> str:
    """
    >>> per_hundred(Interval(0.234, 0.151, 0.33, 0.95, 0.0, 0.1), " of 100")
    '23 of 100 (15 to 33)'
    """
    return f"{count(share.estimate)}{unit} ({count(share.low)} to {count(share.high)})"


def count(share: float) -> str:
    """Of 100, whole; not 0 where there are some, nor 100 where some are not."""
    if 0 < share < 0.005:
        return "under 1"
    return "over 99" if 0.995 < share < 1 else f"{100 * share:.0f}"


def sentence(groups: Sequence[GroupErrors]) -> str:
    """The worst group by name, what the others are held against it, and in any case how much is missed."""
    known = [group for group in groups if estimable(group.share)]
    unknown = _unknown([group for group in groups if not estimable(group.share)])
    if not known:
        return f"How often it errs cannot be said: no group has enough test patients. {unknown}"
    worst = next(group for group in known if group.worst)
    verb = "it misses" if worst.label == _TUMOR else "it raises a false alarm in"
    told = f"Of 100 {worst.name} {verb} {per_hundred(worst.share)}"
    others = [group.share for group in known if group is not worst]
    rest = f"; {_others(others, known_all=not unknown)}." if others else ". No other group can be judged."
    return " ".join([told + rest, *_missed(worst, known), unknown]).rstrip()


def _others(shares: Sequence[Interval], *, known_all: bool) -> str:
    """From how many to how many errors the other groups have, and how far their intervals reach."""
    where = (
        f"the other {'groups' if len(shares) > 1 else 'group'}{'' if known_all else ' that can be judged'}"
    )
    if len(shares) == 1:
        amount = per_hundred(shares[0], " of 100")
        return f"in {where} it errs in {amount if shares[0].estimate else f'none{amount[1:]}'}"
    fewest, most = (end(share.estimate for share in shares) for end in (min, max))
    ends = dict.fromkeys((count(fewest), count(most)))
    amount = f"{' to '.join(ends)} of 100" if most else "none of 100"
    return f"in {where} it errs in {amount} (intervals reach {count(max(share.high for share in shares))})"


def _missed(worst: GroupErrors, known: Sequence[GroupErrors]) -> Iterator[str]:
    """How much tumor is missed, where the worst group does not say it."""
    if worst.label == _TUMOR:
        return
    tumor = [group for group in known if group.label == _TUMOR]
    if not tumor:
        yield "How much tumor it misses cannot be said."
        return
    first, *more = tumor
    told = [f"{per_hundred(first.share)} with {first.attribute}"]
    told += [f"{per_hundred(each.share)} with {each.attribute.removesuffix(' tissue')}" for each in more]
    yield f"Of 100 tumor patches it misses {' and '.join(told)}."


def _unknown(groups: Sequence[GroupErrors]) -> str:
    if not groups:
        return ""
    parts = [
        f"{each.name} ({_some(each.patches, 'patch', 'patches')} of {_some(each.patients, 'test patient')})"
        for each in groups
    ]
    return f"Not known, too few: {'; '.join(parts)}."


def _some(n: int, one: str, several: str = "") -> str:
    return f"{n:,} {one if n == 1 else several or f'{one}s'}"
