"""What a gain of the worst group is made of: a moved threshold, and what goes beyond it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.metrics.intervals import Interval, paired_difference
from pipeline.look import plots as drawing
from pipeline.look.styles import styles_of
from pipeline.report.sources import Sources
from pipeline.results.answers import why
from pipeline.results.figures import FAMILY, WITHIN, Method, Scoreboard
from pipeline.results.tested import CONTROL, decided_name
from pipeline.results.verdict import READINGS, Reading, estimable, reading_of

WORDS = (
    "plain",
    "the decision threshold moved with the tissue, by a rule fitted on validation patients",
    "trained otherwise, and decided plainly",
    "trained otherwise, and the decision threshold moved as well",
)
"""What is new at every step of the chain."""


@dataclass(frozen=True)
class Link:
    """A step of the chain.

    Attributes:
        words: what is new.
        wga, ranking: changes from the step before, on the same patients; none of the first step.
        reading: of the change of the worst group, by itself.
    """

    method: Method
    words: str
    wga: Interval | None
    ranking: Interval | None
    reading: Reading | None

    @property
    def read(self) -> str:
        """The reading in words."""
        return "" if self.reading is None else READINGS[self.reading]


def values(sources: Sources) -> Mapping[str, Any]:
    """The chain at the subject's threshold, and what it says."""
    subject = sources.subject
    if subject is None:
        return {"chain": ()}
    board = subject.board
    chain = chain_of(sources, board)
    whole = len(chain) > 1
    return {
        "board": board,
        "chain": chain,
        "within": WITHIN,
        "sentence": why(board, sources.terms),
        "missing": [name for name in _wanted(sources) if name not in {m.algorithm for m in board.methods}],
        "picture": drawing.svg_uri(_picture(chain)) if whole else None,
        "text": _text(chain),
    }


def _wanted(sources: Sources) -> tuple[str, str, str, str]:
    terms = sources.terms
    candidate = terms.judging.candidate
    return (
        terms.judging.primary.reference,
        terms.control,
        candidate,
        decided_name(candidate, CONTROL),
    )


def chain_of(sources: Sources, board: Scoreboard) -> tuple[Link, ...]:
    """From the reference to the candidate decided by tissue; a method that is not there is left out."""
    found = {method.algorithm: method for method in board.methods}
    steps = [
        (found[name], words) for name, words in zip(_wanted(sources), WORDS, strict=True) if name in found
    ]
    links: list[Link] = []
    for method, words in steps:
        if not links:
            links.append(Link(method, words, None, None, None))
            continue
        change = paired_difference(
            method.statistics["groups"], links[-1].method.statistics["groups"], **board.settings.drawn
        )
        reading = reading_of(change[FAMILY], judged=board.judged)
        links.append(Link(method, words, change[FAMILY], change.get(WITHIN), reading))
    return tuple(links)


def _text(chain: Sequence[Link]) -> str:
    parts = [
        f"{link.method.name}: {100 * link.method.figures[FAMILY].estimate:.0f} %"
        for link in chain
        if estimable(link.method.figures[FAMILY])
    ]
    return f"Worst-group accuracy, step by step. {'; '.join(parts) or 'Nothing can be judged'}."


def _picture(chain: Sequence[Link]) -> bytes:
    styles = styles_of([link.method.algorithm for link in chain])
    with drawing.canvas(7.4, 0.75 + 0.42 * len(chain)) as (figure, grid):
        axes = grid[0, 0]
        for row, link in enumerate(chain):
            wga, style = link.method.figures[FAMILY], styles[link.method.algorithm]
            axes.plot([wga.low, wga.high], [row, row], color=style.color, linewidth=1.6, zorder=2)
            axes.plot([wga.estimate], [row], zorder=3, **style.marked(7))
            if link.wga is not None and estimable(link.wga):
                told = f"{round(100 * link.wga.estimate):+d} points".replace("-", "−")
                axes.annotate(
                    told, (1.0, row - 0.5), ha="right", va="center", fontsize=8, color=drawing.MUTED
                )
        axes.set_yticks(range(len(chain)), [link.method.name for link in chain])
        axes.set_ylim(len(chain) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        drawing.percent_axis(axes)
        axes.set_xlabel("worst-group accuracy, %")
        return drawing.svg(figure, "decomposition")
