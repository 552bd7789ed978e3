"""The page of tables that compare and a study write of their scoreboards."""

from collections.abc import Iterator, Sequence

from pipeline.config import Context, load_cohort
from pipeline.files import NOT_ESTIMABLE
from pipeline.provenance import versions
from pipeline.results.figures import Scoreboard
from pipeline.results.terms import Terms
from pipeline.tables.blocks import Page
from pipeline.tables.cells import chapter_of
from pipeline.tables.record import record_of


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
        chapters=tuple(chapter_of(board, terms) for board in boards),
        notes=(*remarks, *cohort.limits, *_notes(boards, terms)),
        record=record_of(context.cohort, boards),
        version=versions()["evenpatch"],
    )


def _notes(boards: Sequence[Scoreboard], terms: Terms) -> Iterator[str]:
    for level, draws in dict.fromkeys((each.settings.level, each.settings.draws) for each in boards):
        yield (
            f"Figures are means over seeds. Brackets are {100 * level:g} % intervals of a bootstrap over the "
            f"test patients ({draws:,} draws), each figure's by itself: what other patients would change. "
            "± is the standard deviation over seeds (of a study, over repeats): what another training would "
            "change. Neither holds the other."
        )
    yield (
        "Differences are of the same patients in every draw. “Better” and “worse” are said only where the "
        "interval excludes 0, and only where at least "
        f"{terms.judging.minimum_test_patients} test patients have patches of each class. They are not "
        "corrected for the number of comparisons."
    )
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
