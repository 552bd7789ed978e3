"""What a reader asks first, each answered in a sentence or two that lead to their panel."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.explain.ranking import by_errors
from pipeline.report.opening.alarms import alarms
from pipeline.report.panels import intervention, shortcuts
from pipeline.report.sources import Sources
from pipeline.report.subject import Subject
from pipeline.results.answers import answer, cost, plainly
from pipeline.results.figures import FAMILY
from pipeline.results.verdict import estimable

_EXPLAINED = {
    "erm": "erm",
    "class_balanced": "class_balanced",
    "group_resampling": "resampling",
    "gerne": "gerne",
}
"""Words of the glossary (pipeline.look.words) by the algorithm that they explain."""


@dataclass(frozen=True)
class Answer:
    """A question, its answer, and the panel that holds more.

    Attributes:
        parts: the answer in pieces, each with the glossary's word that explains it, if one does.
    """

    question: str
    words: str
    panel: str
    parts: tuple[tuple[str, str | None], ...]


def answers(sources: Sources) -> list[Answer]:
    """Those of the model that the report is about; none where it was tested on nobody."""
    subject = sources.subject
    if subject is None:
        return []
    board, terms = subject.board, sources.terms
    told = [
        ("On which slides?", _slides(sources, subject), "slides"),
        ("By tissue area?", intervention.told_of(sources, subject.run.algorithm), "intervention"),
        ("Better than what?", f"{answer(board, terms)} {cost(board, terms)}".rstrip(), "verdict"),
        ("A better network?", plainly(board, terms), "decomposition"),
        ("Without a network?", _without(sources, subject), "shortcuts"),
        ("Alarms and probabilities", alarms(subject, sources.decision.threshold), "calibration"),
    ]
    names = {sources.named(algorithm): word for algorithm, word in _EXPLAINED.items()}
    return [
        Answer(question, words, panel, tuple(explained(words, names)))
        for question, words, panel in told
        if words
    ]


def explained(words: str, names: dict[str, str]) -> Iterator[tuple[str, str | None]]:
    """Pieces of a sentence, each with the word that explains it; `names` loses those that were explained.

    >>> list(explained("GERNE, not class-balanced ERM", {"ERM": "erm", "class-balanced ERM": "balanced"}))
    [('GERNE, not ', None), ('class-balanced ERM', 'balanced')]
    """
    while names:
        longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        found = re.search(rf"(?<![\w-])({longest_first})(?![\w-])", words)
        if not found:
            break
        yield words[: found.start()], None
        yield found[0], names.pop(found[0])
        words = words[found.end() :]
    if words:
        yield words, None


def _slides(sources: Sources, subject: Subject) -> str:
    rows, found = subject.run.patches, subject.concentration("patient")
    slides = by_errors(rows, "slide_id")
    first = slides.iloc[0]
    if not found.errors:
        return "No test patch is classified wrongly."
    if found.concentrated:
        carry = "carries" if found.fewest == 1 else "carry"
        where = f"{found.fewest} of {found.units} test patients {carry} half of the {found.errors:,} errors"
    else:
        where = f"The {found.errors:,} errors are spread over patients as their patches are"
    told = (
        f"{where}. The most are on slide {sources.ids.slide(first['slide_id'])}: {first['errors']:,} of "
        f"{first['patches']:,} patches are wrong ({100 * first['rate']:.0f} %; of all test patches "
        f"{100 * found.errors / len(rows):.0f} %)"
    )
    missed = slides.sort_values("missed", ascending=False, kind="stable").iloc[0]
    if missed["missed"] > first["missed"]:
        told += (
            f"; the most missed tumor is on {sources.ids.slide(missed['slide_id'])} ({missed['missed']:,})"
        )
    return f"{told}."


def _without(sources: Sources, subject: Subject) -> str:
    """What a linear model reaches; nothing where the network's interval lies above it."""
    own, linear = subject.method.figures[FAMILY], shortcuts.linear_of(sources, subject.board.threshold)
    if linear is None or not estimable(own) or own.low > linear["estimate"]:
        return ""
    reached, ends, interval = (
        " to ".join(f"{100 * share:.0f}" for share in shares)
        for shares in ([linear["estimate"]], [linear["low"], linear["high"]], [own.low, own.high])
    )
    return (
        f"A linear model on hand-made statistics is right in {reached} of 100 in its worst group ({ends}, in "
        f"other folds), and this model’s interval there, {interval}, does not lie above it."
    )
