"""What MLflow's pages say of a model in words: Markdown for people, and tags to look for."""

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from models.networks.card import ModelCard, Range
from models.networks.decision_words import briefly, decision_facts, verdict_told
from models.networks.evidence import STUDY, UNTESTED, Estimate, Evidence
from models.networks.reliability import group_name
from pipeline.files import NOT_ESTIMABLE
from pipeline.tracking.served import columns_of

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
_WHERE = {STUDY: "of models trained alike, in the study", UNTESTED: "tested on nobody"}
"""Words for evidence that is not of the model's own test patients."""
_LONGEST = 5000
"""Characters of a tag's value that every store of MLflow's takes."""
# MLflow refuses anything else in a metric's name, and a slash would open another section of its page.
_NO_NAME = re.compile(r"[^\w.\- ]")


@dataclass(frozen=True)
class Pages:
    """Descriptions of the registered model, of a version and of its run, in Markdown, and their tags.

    `shared_tags` are those of the model, `tags` those of version and run.
    """

    model: str
    version: str
    run: str
    shared_tags: Mapping[str, str]
    tags: Mapping[str, str]


def pages_of(card: ModelCard, evidence: Evidence, *, model: str, version: str, seconds: float) -> Pages:
    """What is said of a training.

    Args:
        card, evidence: of its model.
        model, version: as they are registered.
        seconds: that the training took.
    """
    return Pages(
        model=_model_page(card, evidence, f"models:/{model}@champion"),
        version=_version_page(card, evidence, f"models:/{model}/{version}"),
        run=_run_page(card, evidence, seconds),
        shared_tags=_prefixed(_shared_tags(card, evidence)),
        tags=_prefixed(_shared_tags(card, evidence) | _own_tags(card, evidence)),
    )


def _version_page(card: ModelCard, evidence: Evidence, uri: str) -> str:
    wga = f"WGA {_interval(evidence.figures['wga'])} on {evidence.patients} patients"
    if where := _WHERE.get(evidence.split):
        wga = f"{where}: {wga}" if evidence.patients else where
    return _page(
        # The first words are all that a list of versions shows.
        f"{_text(evidence.training)}: {wga} of the cohort {_text(evidence.cohort)}. "
        f"{_text(evidence.description)}\n\n{_text(evidence.intended_use)}",
        _section("What it must be fed", _table(("", ""), _fed(card).items())),
        "A table of patches has the columns:",
        _table(("", ""), columns_of(card.decision).items()),
        _section("How it decides", _table(("", ""), _decided(card).items())),
        _section("How well it does", _figures(card, evidence)),
        _section("Limits", _list(evidence.limits)),
        _section("How to call it", _call(card, uri)),
    )


def _run_page(card: ModelCard, evidence: Evidence, seconds: float) -> str:
    told = (
        f"{_text(card.algorithm)} at the threshold {_text(card.threshold)}, seed {card.seed}; trained in "
        f"{seconds:.0f} s. {_text(evidence.chosen)}"
    )
    return _page(told, _section("How well it does", _figures(card, evidence)))


def _model_page(card: ModelCard, evidence: Evidence, uri: str) -> str:
    return _page(
        f"Says of a patch whether it is {_text(' or '.join(card.classes))}. Models of the cohort "
        f"{_text(evidence.cohort)}: {_text(evidence.description)}\n\n{_text(evidence.intended_use)}",
        "Each version tells its own figures, limits and what it must be fed; `champion` is the one that "
        "passed the gate of `evenpatch register`.",
        _section("How to call it", _call(card, uri)),
    )


def shown(figure: Estimate) -> str:
    """A figure without its interval."""
    return NOT_ESTIMABLE if figure.value is None else f"{figure.value:.3f}"


def _shared_tags(card: ModelCard, evidence: Evidence) -> dict[str, str]:
    """What one looks for in a list of models."""
    return {
        "cohort": evidence.cohort,
        "channels": ";".join(card.channels),
        "mpp": _range(card.ranges.mpp) if card.ranges.mpp else "unknown",
        "patch_size": str(card.patch["size"]),
        "classes": ";".join(card.classes),
        "limits": evidence.intended_use[:_LONGEST],
    }


def _own_tags(card: ModelCard, evidence: Evidence) -> dict[str, str]:
    return {
        "decision": f"{verdict_told(card)}; {briefly(card.decision)}",
        "test_wga": " ".join(filter(None, (_interval(evidence.figures["wga"]), _WHERE.get(evidence.split)))),
        "limits": " ".join((evidence.intended_use, *evidence.limits))[:_LONGEST],
    }


def _prefixed(tags: Mapping[str, str]) -> dict[str, str]:
    return {f"evenpatch.{key}": value for key, value in tags.items()}


def group_figures(card: ModelCard, evidence: Evidence) -> dict[str, float]:
    """Accuracies of groups by name, as metrics: `test/tumor and little tissue/accuracy` and its ends."""
    found: dict[str, float] = {}
    for group in evidence.groups:
        name = _NO_NAME.sub("_", group_name(card, group.label, group.attribute)).strip(". ")
        told = {"": group.accuracy.value, "/low": group.accuracy.low, "/high": group.accuracy.high}
        found |= {
            f"{evidence.split}/{name}/accuracy{end}": value
            for end, value in told.items()
            if value is not None
        }
    return found


def _fed(card: ModelCard) -> dict[str, str]:
    tissue, ranges = card.tissue, card.ranges
    light = "red, green, blue of transmitted light" if card.brightfield else "intensities"
    resolution = (
        f"{card.patch['mpp']:g} µm per pixel"
        if card.patch.get("mpp")
        else f"{card.patch['downsample']:g} slide pixels per pixel"
    )
    fed = {
        "channels": f"{_text(', '.join(card.channels))} (in this order; {light})",
        "pixels": f"{card.dtype}, as the slide has them: the model normalizes by itself",
        "patch": f"{card.patch['size']} pixels a side, {resolution}",
        "µm per pixel in training": _range(ranges.mpp) if ranges.mpp else "unknown",
    }
    if tissue is not None:
        settings = ", ".join(f"{key} {value}" for key, value in tissue.settings.items())
        fed["tissue"] = f"{_text(settings)}; patches with less than {tissue.minimum_fraction:g} are left out"
    if ranges.tissue_fraction is not None:
        fed["tissue fraction in training"] = _range(ranges.tissue_fraction)
    return fed


def _decided(card: ModelCard) -> dict[str, str]:
    return {name: _text(words) for name, words in decision_facts(card).items()}


def _figures(card: ModelCard, evidence: Evidence) -> str:
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
            _text(group_name(card, g.label, g.attribute)),
            _interval(g.accuracy),
            str(g.patches),
            str(g.patients),
        )
        for g in evidence.groups
    ]
    figures = [
        (words, _interval(evidence.figures[key]))
        for key, words in _FIGURES.items()
        if key in evidence.figures
    ]
    return _page(
        told,
        _table(("figure", "value"), figures),
        "The accuracy of each group:",
        _table(("group", "accuracy", "patches", "patients"), groups),
    )


def _call(card: ModelCard, uri: str) -> str:
    side, channels = card.patch["size"], len(card.channels)
    serve = f"mlflow models serve -m {uri} --env-manager local --port 5001"
    python = (
        "import io, mlflow, numpy, pandas\n"
        f'model = mlflow.pyfunc.load_model("{uri}")\n'
        "cell = io.BytesIO()\n"
        f"numpy.save(cell, patch)  # ({side}, {side}, {channels}), {card.dtype}\n"
        'model.predict(pandas.DataFrame({"patch": [cell.getvalue()], "tissue_fraction": [0.4]}))'
    )
    parts = [f"Patches, in Python:\n\n```python\n{python}\n```", f"Patches, over HTTP:\n\n```\n{serve}\n```"]
    if card.tissue is not None:
        parts.insert(0, f"Slides:\n\n```\nevenpatch predict SLIDE --model {uri} --out FOLDER\n```")
    return "\n\n".join(parts)


def _range(found: Range) -> str:
    return f"{found.low:.4g}" if found.low == found.high else f"{found.low:.4g} to {found.high:.4g}"


def _interval(figure: Estimate) -> str:
    if figure.low is None or figure.high is None:
        return shown(figure)
    return f"{shown(figure)} ({figure.low:.3f} to {figure.high:.3f})"


def _text(words: str) -> str:
    """Words of a user's in one line, without Markdown's and HTML's meaning."""
    plain = re.sub(r"([\\`*_\[\]|#])", r"\\\1", " ".join(words.split()))
    return html.escape(plain, quote=False)


def _section(title: str, body: str) -> str:
    return f"### {title}\n\n{body}"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_text(line)}" for line in lines)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _page(*parts: str) -> str:
    return "\n\n".join(parts)
