"""What a reader asks first, each answered in a sentence that leads to its panel."""

from dataclasses import dataclass

from pipeline.explain.ranking import by_errors
from pipeline.report.panels import intervention
from pipeline.report.sources import Sources
from pipeline.report.subject import Subject
from pipeline.results.answers import answer, why


@dataclass(frozen=True)
class Answer:
    """A question, its answer, and the panel that holds more."""

    question: str
    words: str
    panel: str


def answers(sources: Sources) -> list[Answer]:
    """Those of the model that the report is about; none where it was tested on nobody."""
    subject = sources.subject
    if subject is None:
        return []
    compared = [answer(subject.board, sources.terms), why(subject.board, sources.terms)]
    return [
        Answer("On which slides?", _slides(sources, subject), "slides"),
        Answer("By tissue area?", intervention.told_of(sources, subject.run.algorithm), "intervention"),
        Answer("Better than what?", " ".join(filter(None, compared)), "verdict"),
    ]


def _slides(sources: Sources, subject: Subject) -> str:
    rows = subject.run.patches
    slides, patients = by_errors(rows, "slide_id"), by_errors(rows, "patient_id")
    first = slides.iloc[0]
    errors = int(slides["errors"].sum())
    if not errors:
        return "No test patch is classified wrongly."
    half = subject.concentration("patient").fewest
    carry = "carries" if half == 1 else "carry"
    worst = sources.ids.slide(first["slide_id"])
    return (
        f"{half} of {len(patients)} test patients {carry} half of the {errors:,} errors. The most are on "
        f"slide {worst}: {first['errors']:,} of {first['patches']:,} patches are wrong "
        f"({100 * first['rate']:.0f} %; of all test patches {100 * errors / len(rows):.0f} %)."
    )
