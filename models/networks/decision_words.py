"""What a model's decision says in words, for whoever reads a probability: pages, pictures, tables."""

from models.networks.card import AttributeCard, DecisionCard, FittedCard, ModelCard

_BRIEFLY = {
    "plain": "decided by the network alone",
    "threshold": "decided by a moved threshold",
    "by_attribute": "decided by attribute",
    "by_tissue": "decided by tissue",
}


def briefly(decision: DecisionCard) -> str:
    """In a few words: `decided by tissue, calibrated`."""
    return f"{_BRIEFLY[decision.rule]}, {'not ' if decision.calibration is None else ''}calibrated"


def decided_plainly(decision: DecisionCard) -> bool:
    """Whether the class is the one that the network itself finds more probable."""
    return decision.rule == "plain" and decision.threshold == DecisionCard().threshold


def verdict_told(card: ModelCard) -> str:
    """What makes a class of a predicted probability: `tumor above a probability of 0.5`."""
    if len(card.classes) > 2:
        return "the class of the largest probability"
    return f"{card.classes[-1]} above a probability of {card.decision.threshold:.4g}"


def decision_facts(card: ModelCard) -> dict[str, str]:
    """Name and words of all that makes a probability and a class; says what each part was fitted on."""
    decision = card.decision
    facts = {
        "decision rule": f"{decision.rule}: {_rule(decision, card.attribute)}{_standing(decision.fitted)}",
        "calibration": _calibration(decision),
        "verdict": f"{verdict_told(card)}{_standing(decision.operating)}",
    }
    return facts if len(card.classes) == 2 else {"verdict": facts["verdict"]}


def _rule(decision: DecisionCard, attribute: AttributeCard) -> str:
    if decision.rule == "plain":
        return "the network's log-odds, and tissue has no say"
    times = "" if decision.slope == 1 else f"{decision.slope:.3g} times "
    shifted = f"{times}the network's log-odds, plus"
    if decision.rule == "threshold":
        return f"{shifted} {decision.offsets[0]:.3g} for every patch"
    if decision.rule == "by_attribute":
        values = zip(attribute.names, decision.offsets, strict=True)
        return f"{shifted} {', '.join(f'{offset:.3g} in {name}' for name, offset in values)}"
    points = zip(decision.offsets, decision.knots, strict=True)
    told = ", ".join(f"{offset:.3g} at a tissue fraction of {knot:.3g}" for offset, knot in points)
    return f"{shifted} {told}, and straight lines between them"


def _calibration(decision: DecisionCard) -> str:
    if decision.calibration is None:
        return f"none: {decision.uncalibrated}"
    return f"log-odds divided by {decision.calibration.temperature:.3g}{_standing(decision.calibration)}"


def _standing(fitted: FittedCard | None) -> str:
    if fitted is None:
        return ""
    return f" (fitted on {fitted.patches:,} validation patches of {fitted.patients} patients; {fitted.how})"
