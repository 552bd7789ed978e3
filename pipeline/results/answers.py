"""The verdict in words: whether the worst group improved, and why, no more than is shown.

A method that ranks tumor above the rest better within strata of tissue has learned something that no moved
threshold gives; as tissue still varies inside a stratum, it must do so beside the reference decided by tissue
as well. One whose worst group is not told from that of this control may have moved a threshold and done
nothing else. The rules stand in docs/compare.md.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.files import NOT_ESTIMABLE
from pipeline.results.figures import WITHIN, Contrast, Scoreboard
from pipeline.results.terms import Terms
from pipeline.results.tested import rule_of
from pipeline.results.verdict import READINGS, SURE, Reading
from pipeline.training.layout import GIVEN

_PHRASES: dict[Reading, str] = {
    "better": "better than {}",
    "worse": "worse than {}",
    "open": "not shown to differ from {}",
    "unknown": f"not comparable with {{}}: worst-group accuracy is {READINGS['unknown']}",
}


def answer(board: Scoreboard, terms: Terms) -> str:
    """Whether the candidate's worst group is better, in one sentence; "better" only where it is shown.

    What it is against the control, `why` tells.
    """
    name = terms.named(terms.judging.candidate)
    contrasts = [each for each in _of_candidate(board, terms) if rule_of(each.reference.algorithm) is None]
    if not contrasts:
        return f"There is no {name} run with a reference at this threshold, so nothing is compared."
    if not board.judged:
        return "Too few test patients to judge."
    names = {
        verdict: [_reference(each) for each in contrasts if each.verdict == verdict] for verdict in _PHRASES
    }
    phrases = [_PHRASES[verdict].format(_listed(found)) for verdict, found in names.items() if found]
    n_groups = len(board.sizes)
    judged = n_groups - len(board.missing)
    scope = f" of the {judged} (of {n_groups}) that can be judged" if 0 < judged < n_groups else ""
    return f"By its worst group{scope}, {name} is {'; '.join(phrases)}."


def why(board: Scoreboard, terms: Terms) -> str:
    """Why the candidate's worst group is better than the primary reference's; empty where nothing is said.

    Of an attribute that came with the images nothing is: there are no strata of tissue, and no control.
    """
    found = _read(board, terms)
    return reason_of(*found) if found else ""


def plainly(board: Scoreboard, terms: Terms) -> str:
    """What `why` rests on, in plain words and without its conclusion; empty where `why` is."""
    found = _read(board, terms)
    return plain_reason_of(*found) if found else ""


def cost(board: Scoreboard, terms: Terms) -> str:
    """How much average accuracy differs from the primary reference's; empty where it is not shown to."""
    for each in _of_candidate(board, terms):
        reading, figure = each.readings.get("average"), each.figures.get("average")
        if each.reference.algorithm == terms.judging.primary.reference and figure and reading in SURE:
            low, high = sorted(abs(100 * end) for end in (figure.low, figure.high))
            return (
                f"Its average accuracy is {abs(100 * figure.estimate):.0f} points "
                f"{'higher' if reading == 'better' else 'lower'} than that of {each.reference.name} "
                f"({low:.0f} to {high:.0f})."
            )
    return ""


def _read(board: Scoreboard, terms: Terms) -> tuple["Names", Reading, Reading, Reading] | None:
    """What `reason_of` takes; none where there is nothing to explain."""
    if board.threshold == GIVEN:
        return None
    found = {each.reference.algorithm: each for each in _of_candidate(board, terms)}
    reference = found.get(terms.judging.primary.reference)
    if reference is None:
        return None
    control = found.get(terms.control)
    names = Names(reference.candidate.name, reference.reference.name, terms.named(terms.control))
    ranking = ranking_of(
        *(each.readings.get(WITHIN, "unknown") if each else "unknown" for each in (reference, control))
    )
    return names, reference.verdict, ranking, "unknown" if control is None else control.verdict


def ranking_of(plain: Reading, decided: Reading) -> Reading:
    """What two differences of the AUROC within strata say together: the same of both, or nothing."""
    if "unknown" in (plain, decided):
        return "unknown"
    return plain if plain == decided else "open"


def _of_candidate(board: Scoreboard, terms: Terms) -> list[Contrast]:
    return [each for each in board.contrasts if each.candidate.algorithm == terms.judging.candidate]


def _reference(contrast: Contrast) -> str:
    return f"{contrast.reference.name}{' (primary)' if contrast.primary else ''}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


class Names(NamedTuple):
    """The methods of the sentence; `control` is the reference, decided by tissue."""

    candidate: str
    reference: str
    control: str


_RANKING: dict[Reading, str] = {
    "better": "within strata of tissue it ranks better than {reference}, plainly and decided by tissue",
    "worse": "within strata of tissue it ranks worse than {reference}, plainly and decided by tissue",
    "open": "within strata of tissue it is not shown to rank better than {reference}, both plainly and "
    "decided by tissue",
    "unknown": "its ranking within strata of tissue, beside {reference} plainly and decided by tissue, is "
    f"{NOT_ESTIMABLE}",
}
_CONTROL: dict[Reading, str] = {
    "better": "its worst group is better than that of {control}",
    "worse": "its worst group is worse than that of {control}",
    "open": "its worst group is not shown to differ from that of {control}",
    "unknown": f"its difference to {{control}} is {NOT_ESTIMABLE}",
}
_RANKS: dict[Reading, str] = {
    "better": "It ranks tumor better than {reference} among patches of like tissue (AUROC within strata)",
    "worse": "It ranks tumor worse than {reference} among patches of like tissue (AUROC within strata)",
    "open": "It is not shown to rank tumor better than {reference} among patches of like tissue (AUROC "
    "within strata)",
    "unknown": f"How it ranks tumor among patches of like tissue is {NOT_ESTIMABLE}",
}
_BESIDE: dict[Reading, str] = {
    "better": "its worst group is better than that of {reference} with a tissue-dependent threshold, too",
    "worse": "{reference} with a tissue-dependent threshold does better in the worst group",
    "open": "{reference} with a tissue-dependent threshold may do as well in the worst group",
    "unknown": "how {reference} with a tissue-dependent threshold does in the worst group is "
    f"{NOT_ESTIMABLE}",
}
_REPRESENTATION: dict[Reading, str] = {
    "better": "a better representation is shown, and more than a moved threshold",
    "worse": "a better representation is shown, but a moved threshold alone has the better worst group",
    "open": "a better representation is shown, but not that the worst group needs it",
    "unknown": "a better representation is shown",
}
_NO_REPRESENTATION: dict[Reading, str] = {
    "better": "more than a moved threshold is shown, but not a better representation",
    "worse": "a moved threshold alone has the better worst group",
    "open": "nothing beyond a moved threshold is shown",
    "unknown": "a better representation is not shown",
}


def reason_of(names: Names, gain: Reading, ranking: Reading, control: Reading) -> str:
    """A sentence on why; empty where nothing may be said of the worst group at all.

    Args:
        names: of the methods.
        gain: of the candidate's worst-group accuracy against the reference.
        ranking: of its AUROC within strata against the reference, see `ranking_of`.
        control: of its worst-group accuracy against the reference decided by tissue; `unknown` where that
            is not there.
    """
    readings: set[Reading] = {*SURE, "open", "unknown"}
    if gain not in (*SURE, "open") or not {ranking, control} <= readings:
        return ""
    seen = f"{_RANKING[ranking]} (exploratory), and {_CONTROL[control]}".format(**names._asdict())
    if gain != "better":
        return f"No gain over {names.reference} is shown, and so none explained: {seen}."
    if ranking == "better":
        conclusion = _REPRESENTATION[control]
    elif ranking == control == "unknown":
        conclusion = "that is not told"
    else:
        conclusion = _NO_REPRESENTATION[control]
    return f"Why it is better than {names.reference}: {conclusion}, for {seen}."


def plain_reason_of(names: Names, gain: Reading, ranking: Reading, control: Reading) -> str:
    """What `reason_of` rests on, in plain words; takes the same, and is empty where that is."""
    if not reason_of(names, gain, ranking, control):
        return ""
    apart = "unknown" not in (ranking, control) and (ranking == "better") != (control == "better")
    told = f"{_RANKS[ranking]}, {'but' if apart else 'and'} {_BESIDE[control]}."
    return told.format(reference=names.reference)
