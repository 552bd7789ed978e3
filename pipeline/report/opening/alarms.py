"""What an alarm of the model is worth, and whether its probabilities are any, with little and much tissue."""

from collections.abc import Sequence

from pipeline.report.opening.errors import count, per_hundred
from pipeline.report.probabilities import Promise, own_benefits, promises
from pipeline.report.subject import Subject
from pipeline.results.verdict import estimable


def alarms(subject: Subject, threshold: float) -> str:
    """In sentences; empty without probabilities of two classes.

    Args:
        threshold: the model's own decision threshold.
    """
    if not subject.method.operating:
        return ""
    names = subject.board.layout.attributes
    values = [part for part in subject.parts if part.kind == "attribute"]
    worth = [
        (f"{per_hundred(part.figures['ppv'])} {{}}{name}", count(part.prevalence))
        for part, name in zip(values, names, strict=True)
        if estimable(part.figures["ppv"])
    ]
    told = "What an alarm is worth cannot be said: too few test patches."
    if worth:
        words, shares = zip(*worth, strict=True)
        told = f"Of 100 alarms {_listed(words)}, where {' and '.join(shares)} % are."
    harmful = [
        f"Net benefit with {name}: {benefit:.2f}, worse than no model.".replace("-", "−")
        for name, benefit in zip(names, own_benefits(subject, threshold)[1:], strict=True)
        if benefit < 0
    ]
    return " ".join(filter(None, [told, promised(promises(subject)[1:], names), *harmful]))


def promised(found: Sequence[Promise], names: Sequence[str]) -> str:
    """Mean predicted probabilities, where they are clearly not the shares of tumor; empty elsewhere."""
    broken = [(each, name) for each, name in zip(found, names, strict=True) if each.broken]
    if not broken:
        return ""
    if len(broken) == len(found):
        told = f"Predicted are {' and '.join(count(each.predicted) for each, _ in broken)} %"
    else:
        told = "; ".join(
            f"with {name} {count(each.predicted)} % are predicted where {count(each.tumor)} % are"
            for each, name in broken
        )
    return f"{told[0].upper()}{told[1:]}: not to be read as probabilities."


def _listed(parts: Sequence[str]) -> str:
    """`15 (9 to 24) are tumor with little tissue and 96 (83 to 99) with much tissue`."""
    first, *more = parts
    return " and ".join([first.format("are tumor with "), *(each.format("with ") for each in more)])
