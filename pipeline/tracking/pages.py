"""What MLflow's pages say of a model in words: Markdown for people, and tags to look for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from models.networks.card import ModelCard
from models.networks.decision_words import briefly, verdict_told
from models.networks.evidence import STUDY, UNTESTED, Evidence
from models.networks.reliability import group_name
from pipeline.cards.markdown import listed, page, section, table, text
from pipeline.cards.words import decided, fed, figures, interval, spanned
from pipeline.tracking.served import columns_of

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
    wga = f"WGA {interval(evidence.figures['wga'])} on {evidence.patients} patients"
    if where := _WHERE.get(evidence.split):
        wga = f"{where}: {wga}" if evidence.patients else where
    return page(
        # The first words are all that a list of versions shows.
        f"{text(evidence.training)}: {wga} of the cohort {text(evidence.cohort)}. "
        f"{text(evidence.description)}\n\n{text(evidence.intended_use)}",
        section("What it must be fed", table(("", ""), fed(card).items())),
        "A table of patches has the columns:",
        table(("", ""), columns_of(card.decision).items()),
        section("How it decides", table(("", ""), decided(card).items())),
        section("How well it does", figures(card, evidence)),
        section("Limits", listed(evidence.limits)),
        section("How to call it", _call(card, uri)),
    )


def _run_page(card: ModelCard, evidence: Evidence, seconds: float) -> str:
    told = (
        f"{text(card.algorithm)} at the threshold {text(card.threshold)}, seed {card.seed}; trained in "
        f"{seconds:.0f} s. {text(evidence.chosen)}"
    )
    return page(told, section("How well it does", figures(card, evidence)))


def _model_page(card: ModelCard, evidence: Evidence, uri: str) -> str:
    return page(
        f"Says of a patch whether it is {text(' or '.join(card.classes))}. Models of the cohort "
        f"{text(evidence.cohort)}: {text(evidence.description)}\n\n{text(evidence.intended_use)}",
        "Each version tells its own figures, limits and what it must be fed; `champion` is the one that "
        "passed the gate of `evenpatch register`.",
        section("How to call it", _call(card, uri)),
    )


def _shared_tags(card: ModelCard, evidence: Evidence) -> dict[str, str]:
    """What one looks for in a list of models."""
    return {
        "cohort": evidence.cohort,
        "channels": ";".join(card.channels),
        "mpp": spanned(card.ranges.mpp) if card.ranges.mpp else "unknown",
        "patch_size": str(card.patch["size"]),
        "classes": ";".join(card.classes),
        "limits": evidence.intended_use[:_LONGEST],
    }


def _own_tags(card: ModelCard, evidence: Evidence) -> dict[str, str]:
    return {
        "decision": f"{verdict_told(card)}; {briefly(card.decision)}",
        "test_wga": " ".join(filter(None, (interval(evidence.figures["wga"]), _WHERE.get(evidence.split)))),
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
