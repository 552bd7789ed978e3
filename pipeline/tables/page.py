"""The page of tables that compare and a study write of their scoreboards."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipeline.config import Context, load_cohort
from pipeline.files import NOT_ESTIMABLE
from pipeline.provenance import versions
from pipeline.results.contrasts import first_level
from pipeline.results.figures import FAMILY, Scoreboard
from pipeline.results.terms import Terms
from pipeline.results.tested import CONTROL, rule_of
from pipeline.tables.blocks import Chapter, Page
from pipeline.tables.cells import chapter_of
from pipeline.tables.operating import operating_blocks
from pipeline.tables.record import record_of

_HOLDS = {
    "patients": "other test patients, and not for other trainings",
    "patients and training": "other test patients and other trainings",
}
"""What an interval may hold (models.metrics.intervals.Interval), in words."""
_KINDS = {"split": "one split", "study": "cross-validation"}


def page_of(
    context: Context, title: str, boards: Sequence[Scoreboard], terms: Terms, remarks: Sequence[str] = ()
) -> Page:
    """A chapter for every scoreboard, and how they are read.

    Args:
        title: after the cohort's name.
        remarks: sentences that stand before that, and before the cohort's own limits.
    """
    cohort = load_cohort(context.configs, context.cohort)
    return Page(
        cohort=context.cohort,
        title=f"{context.cohort}: {title}",
        description=cohort.description,
        chapters=tuple(_chapter(board, terms) for board in boards),
        notes=(*remarks, *cohort.limits, *_notes(boards, terms)),
        record=record_of(context.cohort, boards),
        version=versions()["evenpatch"],
    )


def _chapter(board: Scoreboard, terms: Terms) -> Chapter:
    chapter = chapter_of(board, terms)
    return replace(chapter, blocks=(*chapter.blocks, *operating_blocks(board, terms)))


def _held(boards: Sequence[Scoreboard]) -> Iterator[str]:
    """What the intervals account for; of several trainings, where a method has them."""
    found: dict[str, dict[str, list[str]]] = {}
    for board in boards:
        for method in board.methods:
            own = found.setdefault(method.figures[FAMILY].holds, {})
            own.setdefault(f"{board.told_threshold}, {_KINDS[board.source]}", []).append(method.name)
    for holds, places in found.items():
        if len(found) == 1:
            yield f"Every interval accounts for {_HOLDS[holds]}."
        else:
            whose = "; ".join(f"{where}: {' / '.join(names)}" for where, names in places.items())
            yield f"Intervals account for {_HOLDS[holds]}, of these methods ({whose})."
    if len(found) > 1:
        yield f"A difference to a method of one training accounts for {_HOLDS['patients']}."


def _read(boards: Sequence[Scoreboard], terms: Terms) -> Iterator[str]:
    """How differences are read, and which one is primary."""
    primary = terms.judging.primary
    words = f"{terms.named(primary.candidate)} − {terms.named(primary.reference)} at “{primary.threshold}”"
    there = any(contrast.primary for board in boards for contrast in board.contrasts)
    yield (
        "Differences are of the same patients in every draw. “Better” and “worse” are said only where the "
        "interval excludes 0, and only where at least "
        f"{terms.judging.minimum_test_patients} test patients have patches of each class. "
        + (
            f"The primary comparison, fixed before the run, is {words} by the worst group."
            if there
            else f"The primary comparison, {words} by the worst group, is not among these runs."
        )
    )
    for source, size, level in dict.fromkeys(
        (b.source, b.family, b.settings.level) for b in boards if b.family
    ):
        yield (
            f"All other differences of the worst group that have a verdict ({_KINDS[source]}: {size}, at "
            f"every threshold) are read together, so that in {100 * level:g} % of such tables none of them "
            "is called better or worse without reason (Holm): the first is read at "
            f"{100 * first_level(size, level):.4g} %. "
            "Every other figure’s difference is exploratory."
        )


def _notes(boards: Sequence[Scoreboard], terms: Terms) -> Iterator[str]:
    for level, draws in dict.fromkeys((each.settings.level, each.settings.draws) for each in boards):
        yield (
            f"Figures are means over seeds. Brackets are {100 * level:g} % intervals over the test "
            "patients, each figure’s by itself, and of groups all together: of groups, the worst one and "
            f"their differences in closed form, of other figures from {draws:,} draws of patients "
            "(docs/intervals.md). ± is the standard deviation over seeds (of a study, over repeats)."
        )
    yield from _held(boards)
    yield (
        "WGA is the lowest of several noisy accuracies, and so lies below what the worst group would have "
        "on more patients. Cross-fitted, the worst group is found on one half of the patients and scored on "
        "the other, which is nearly unbiased. Both have one interval, made for the worst group itself."
    )
    if any(rule_of(method.algorithm) == CONTROL for board in boards for method in board.methods):
        yield (
            "“Decided by tissue”: the log-odds of the same trained networks, with a decision that depends "
            "on the tissue fraction, fitted on validation patients. A moved threshold alone reaches that."
        )
    yield from _read(boards, terms)
    yield (
        "Trials: candidates that each training chose from, on validation patients. The more there are, the "
        "better the best one looks there; the test patients chose nothing."
    )
    for source, limits in terms.bootstrap.items():
        where = "" if len(terms.bootstrap) == 1 else f" ({source})"
        yield (
            f"{NOT_ESTIMABLE.capitalize()}{where}: under {limits.minimum_patches} test patches or "
            f"{limits.minimum_patients} patients. It is never given as 0 or 100 %."
        )
