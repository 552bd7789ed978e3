"""The rules of the gate: each has a figure, a bound, a verdict and the reason for it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from models.metrics.intervals import Interval
from pipeline.deployment.challenger.duel import told
from pipeline.deployment.challenger.evidence import Evidence
from pipeline.deployment.challenger.findings import Finding, Verdict, asked
from pipeline.deployment.challenger.settings import RegisterSettings
from pipeline.files import NOT_ESTIMABLE
from pipeline.results.verdict import estimable

_ROUNDING = 1e-9
"""A difference of two shares that is its bound, but for the last digits."""


@dataclass(frozen=True)
class Claim:
    """What is known of a promotion besides the measurements.

    Attributes:
        validation: the candidate's validation figure, in words.
        named: whether `--run` named the candidate, so that validation did not choose it.
        approved: who approved, or empty.
    """

    validation: str
    named: bool
    approved: str


def judge(evidence: Evidence, settings: RegisterSettings, claim: Claim) -> tuple[Finding, ...]:
    """Every rule, in the order of the table."""
    return (
        *_of_the_choice(evidence, settings, claim),
        *_of_the_test(evidence, settings),
        *_beside_the_champion(evidence, settings),
        *_as_served(evidence, settings),
        _approval(settings, claim),
    )


def _of_the_choice(evidence: Evidence, settings: RegisterSettings, claim: Claim) -> Iterator[Finding]:
    yield asked(
        ("choice", "chosen by validation"),
        claim.validation,
        "the best of the tracked runs",
        "weak",
        f"named by --run: validation ({claim.validation}) did not choose it" if claim.named else "",
    )
    least = settings.validation.minimum_patients
    yield _enough(("validation_patients", "validation patients"), evidence.validation_patients_K, least)
    taken = evidence.candidate.tags.get("evenpatch.rolled_back", "")
    yield asked(
        ("rolled_back", "not rolled back before"),
        taken or "never",
        "never",
        "weak",
        f"it was the champion and was rolled back: {taken}" if taken else "",
    )


def _of_the_test(evidence: Evidence, settings: RegisterSettings) -> Iterator[Finding]:
    duel, own = evidence.duel, settings.test
    yield _whose(evidence, settings)
    yield _enough(("test_patients", "test patients"), duel.patients_K, own.minimum_patients)
    missing = "; ".join(size.name for size in duel.sizes if not size.estimable)
    yield asked(
        ("test_groups", "every test group estimable"),
        f"{NOT_ESTIMABLE}: {missing}" if missing else f"{len(duel.sizes)} groups",
        "all",
        "weak",
        f"WGA does not speak for these groups, which are {NOT_ESTIMABLE}: {missing}" if missing else "",
    )
    for who, seen in evidence.seen.items():
        yield asked(
            (f"unseen_by_{who}", f"test patients new to the {who}"),
            seen or "all of them",
            "all of them",
            # A champion that knows them is only favored; a candidate that does has shown nothing.
            "fails" if who == "candidate" else "weak",
            f"{seen}, and the figures flatter the {who}" if seen else "",
        )
    wga = duel.candidate["wga"]
    yield _reaching("chance", "WGA above chance, lower end", wga, own.chance, "weak")
    yield _reaching("floor", "WGA above the floor, lower end", wga, own.minimum_low, "fails")


def _whose(evidence: Evidence, settings: RegisterSettings) -> Finding:
    """Whether the figures are the candidate's own, or a study's of models trained alike."""
    named, claim = ("test_evidence", "test evidence"), evidence.claim
    if claim is None:
        return asked(named, "its own test patients", "its own, or a study", "weak", "")
    words = f"study: {claim.told[0].lower()}{claim.told[1:].rstrip('.')}"
    if claim.tuned:
        return asked(named, words, "a study that is not too good", "weak", f"of the study, {claim.tuned}")
    weak_here = settings.test.study == "weak"
    bound = "its own test patients" if weak_here else "its own, or a study"
    return asked(named, words, bound, "weak", words if weak_here else "")


def _reaching(rule: str, title: str, figure: Interval, least: float | None, otherwise: Verdict) -> Finding:
    if least is None:
        return Finding(rule, title, figure, "none set", "told")
    below = not figure.low >= least - _ROUNDING
    reason = f"WGA {told(figure)} begins below {least:g}" if estimable(figure) else f"WGA is {NOT_ESTIMABLE}"
    return asked((rule, title), figure, f"at least {least:g}", otherwise, reason if below else "")


def _beside_the_champion(evidence: Evidence, settings: RegisterSettings) -> Iterator[Finding]:
    yield _comparison(evidence)
    own, difference = settings.champion, evidence.duel.difference
    yield _wga_difference(evidence, settings)
    pairs = {f"group_{g}": size.name for g, size in enumerate(evidence.duel.sizes)}
    for key, name in pairs.items():
        figure = difference[key] if difference else evidence.unscored
        yield _without_a_shown_loss(_not_lower(key, f"accuracy: {name}", figure, own.group))
    figure = difference["average"] if difference else evidence.unscored
    yield _not_lower("average", "average accuracy", figure, own.average)
    figure = difference["brier"] if difference else evidence.unscored
    yield _not_lower("brier", "Brier score", figure, own.brier, higher_is_worse=True)


def _comparison(evidence: Evidence) -> Finding:
    rule, title, bound = "champion", "compared with the champion", "on the same patients"
    if evidence.champion is None:
        return Finding(rule, title, evidence.unscored, bound, "does not apply", evidence.unscored)
    reason = f"no comparison: {evidence.unscored}" if evidence.unscored else ""
    return asked((rule, title), evidence.unscored or evidence.champion.told, bound, "weak", reason)


def _wga_difference(evidence: Evidence, settings: RegisterSettings) -> Finding:
    own, duel = settings.champion, evidence.duel
    superior = own.wga == "superior"
    bound = f"lower end above {own.margin:g}" if superior else f"lower end at least {-own.margin:g}"
    key, title = "wga_difference", f"WGA: {own.wga.replace('_', '-')}"
    if duel.difference is None or duel.champion is None:
        return Finding(key, title, evidence.unscored, bound, "does not apply", evidence.unscored)
    figure = duel.difference["wga"]
    holds = figure.low > own.margin if superior else figure.low >= -own.margin - _ROUNDING
    both = f"{told(duel.candidate['wga'])} against the champion's {told(duel.champion['wga'])}"
    reason = f"WGA {both}: the difference is {told(figure, signed=True)}, needs a {bound}"
    return asked((key, title), figure, bound, "fails", "" if holds else reason)


def _not_lower(
    key: str, title: str, figure: Interval | str, most: float | None, *, higher_is_worse: bool = False
) -> Finding:
    rule, title = f"{key}_difference", f"{title}: no worse"
    bound = "none set" if most is None else f"at most {most:g} {'higher' if higher_is_worse else 'lower'}"
    if isinstance(figure, str):
        return Finding(rule, title, figure, bound, "does not apply", figure)
    if math.isnan(figure.estimate):
        return Finding(rule, title, NOT_ESTIMABLE, bound, "does not apply", f"it is {NOT_ESTIMABLE}")
    if most is None:
        return Finding(rule, title, figure, bound, "told")
    loss = figure.estimate if higher_is_worse else -figure.estimate
    reason = f"{title.removesuffix(': no worse')} {told(figure, signed=True)}, allowed {bound}"
    return asked((rule, title), figure, bound, "fails", reason if loss > most + _ROUNDING else "")


def _without_a_shown_loss(found: Finding) -> Finding:
    """Weak where the bound is met, and yet the interval says for certain that a group loses."""
    figure = found.figure
    if found.verdict != "holds" or not isinstance(figure, Interval) or not figure.high < 0:
        return found
    name = found.title.removesuffix(": no worse")
    reason = f"{name} {found.shown}, a loss that is shown, if within the bound ({found.bound})"
    return replace(found, verdict="weak", reason=reason)


def _as_served(evidence: Evidence, settings: RegisterSettings) -> Iterator[Finding]:
    own, found = settings.service, evidence.probe
    named = ("loads", "loads and answers its own example")
    yield asked(named, found.trouble or "yes", "yes", "fails", found.trouble)
    if found.failure:
        return
    yield _at_most("served", "served as judged, difference", evidence.served_apart, own.tolerance)
    yield _at_most("latency", "time per patch", 1000 * found.seconds_per_patch, own.latency_ms, "ms")
    yield _at_most("memory", "memory at its peak", found.peak_mib, own.memory_mib, "MiB")


def _at_most(rule: str, title: str, figure: float, most: float | None, unit: str = "") -> Finding:
    if most is None:
        return Finding(rule, title, figure, "none set", "told", unit=unit)
    bound = f"at most {most:g} {unit}".rstrip()
    found = Finding(rule, title, figure, bound, "holds", unit=unit)
    # What is not a number does not hold.
    return (
        found
        if figure <= most
        else replace(found, verdict="fails", reason=f"{title} {found.shown}, allowed {bound}")
    )


def _approval(settings: RegisterSettings, claim: Claim) -> Finding:
    wanted = settings.approval == "required"
    return asked(
        ("approval", "approved"),
        claim.approved or "by nobody",
        "by somebody" if wanted else "not asked for",
        "fails",
        "no --approve NAME, which the settings require" if wanted and not claim.approved else "",
    )


def _enough(named: tuple[str, str], patients_K: tuple[int, ...], least: int) -> Finding:
    without, with_tumor = patients_K
    found = f"{with_tumor} with tumor, {without} without"
    short = min(patients_K) < least
    return asked(named, found, f"{least} of each", "weak", f"{named[1]}: {found}" if short else "")
