"""Sentences and tables about a model, from its card and its evidence: the same wherever they are read."""

from models.networks.card import ModelCard, Range
from models.networks.decision_words import decision_facts
from models.networks.evidence import STUDY, UNTESTED, Estimate, Evidence
from models.networks.reliability import group_name
from pipeline.cards.markdown import page, table, text
from pipeline.files import NOT_ESTIMABLE

_FIGURES = {
    "wga": "worst group (WGA)",
    "gba": "mean over the groups (GBA)",
    "average": "all patches",
    "plain_wga": "worst group, by the network alone at 0.5",
    "plain_gba": "mean over the groups, by the network alone",
    "plain_average": "all patches, by the network alone",
    "worst_class": "worst class",
    "auroc": "area under the ROC curve",
    "brier": "Brier score (lower is better)",
}


def shown(figure: Estimate) -> str:
    """A figure without its interval."""
    return NOT_ESTIMABLE if figure.value is None else f"{figure.value:.3f}"


def spanned(found: Range) -> str:
    """From the least to the largest."""
    return f"{found.low:.4g}" if found.low == found.high else f"{found.low:.4g} to {found.high:.4g}"


def interval(figure: Estimate) -> str:
    """A figure with its interval, where it has one."""
    if figure.low is None or figure.high is None:
        return shown(figure)
    return f"{shown(figure)} ({figure.low:.3f} to {figure.high:.3f})"


def fed(card: ModelCard) -> dict[str, str]:
    """What a model must be fed: name and words, in Markdown."""
    tissue, ranges = card.tissue, card.ranges
    light = "red, green, blue of transmitted light" if card.brightfield else "intensities"
    resolution = (
        f"{card.patch['mpp']:g} µm per pixel"
        if card.patch.get("mpp")
        else f"{card.patch['downsample']:g} slide pixels per pixel"
    )
    told = {
        "channels": f"{text(', '.join(card.channels))} (in this order; {light})",
        "pixels": f"{card.dtype}, as the slide has them: the model normalizes by itself",
        "patch": f"{card.patch['size']} pixels a side, {resolution}",
        "µm per pixel in training": spanned(ranges.mpp) if ranges.mpp else "unknown",
    }
    if tissue is not None:
        settings = ", ".join(f"{key} {value}" for key, value in tissue.settings.items())
        told["tissue"] = f"{text(settings)}; patches with less than {tissue.minimum_fraction:g} are left out"
    if ranges.tissue_fraction is not None:
        told["tissue fraction in training"] = spanned(ranges.tissue_fraction)
    return told


def decided(card: ModelCard) -> dict[str, str]:
    """What makes a probability and a class: name and words, in Markdown."""
    return {name: text(words) for name, words in decision_facts(card).items()}


def figures(card: ModelCard, evidence: Evidence) -> str:
    """How well it does, and on whom: Markdown."""
    if evidence.split == UNTESTED:
        return "It was tested on nobody. The limits say why."
    whose = (
        "each tested by models trained alike without it: the figures are not of these weights"
        if evidence.split == STUDY
        else f"of the split `{evidence.split}`"
    )
    told = (
        f"On {evidence.patches} patches of {evidence.patients} patients, {whose}. "
        "Brackets are intervals over patients; those of groups hold together (Bonferroni)."
    )
    groups = [
        (
            text(group_name(card, g.label, g.attribute)),
            interval(g.accuracy),
            str(g.patches),
            str(g.patients),
        )
        for g in evidence.groups
    ]
    shared = [
        (words, interval(evidence.figures[key])) for key, words in _FIGURES.items() if key in evidence.figures
    ]
    return page(
        told,
        table(("figure", "value"), shared),
        "The accuracy of each group:",
        table(("group", "accuracy", "patches", "patients"), groups),
    )
