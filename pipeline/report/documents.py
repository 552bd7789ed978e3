"""Documents beside the report: a model card and a data card in Markdown, for who has no browser at hand."""

from collections.abc import Mapping
from dataclasses import replace

from models.networks.card import ModelCard
from pipeline.artifacts import CARDS
from pipeline.cards.data_card import DataFacts, data_card
from pipeline.cards.markdown import text
from pipeline.cards.model_card import model_card, unread_card
from pipeline.cards.study_evidence import evidence_of
from pipeline.cards.words import fed
from pipeline.cohort.duplicates import Twins
from pipeline.config import Context
from pipeline.files import file_fingerprint
from pipeline.provenance import git_commit, versions
from pipeline.report.panels.flow import flow_shown, threshold_shown
from pipeline.report.panels.provenance import data_fingerprints
from pipeline.report.sources import Sources

MODEL_CARD, DATA_CARD = DOCUMENTS = CARDS
_OF_USE = {"care_pathway": "In care.", "users": "Users."}
_OF_DATA = {
    "source": "source",
    "license": "license",
    "design": "design",
    "dates": "dates",
    "setting": "centers",
    "eligibility": "who could take part",
    "demographics": "patients",
    "acquisition": "acquisition",
    "outcome": "what tumor means",
    "annotators": "who labelled",
    "deidentification": "identities",
    "ethics": "ethics",
    "data_availability": "availability",
}
"""Statements that a card shows, and under which words."""


def documents_of(context: Context, sources: Sources) -> dict[str, str]:
    """Both cards by the names of their files; what model.json would tell is told to lack where it does.

    Raises:
        ArtifactError: the model's evaluation is missing or damaged.
    """
    return {MODEL_CARD: _model_card(context, sources), DATA_CARD: _data_card(sources)}


def _model_card(context: Context, sources: Sources) -> str:
    run, paths, card = sources.shown, context.paths, sources.card
    said, made = _said(sources, _OF_USE), _made(sources)
    if isinstance(card, str):
        return unread_card(run.name, sources.evidence.file, why=card, said=said, made=made)
    return model_card(
        card,
        evidence_of(context, run.name, card),
        name=sources.named(run.algorithm),
        folder=paths.training(run.name).relative_to(paths.root).as_posix(),
        said=said,
        made=made,
    )


def _made(sources: Sources) -> dict[str, str]:
    paths = sources.evidence.paths
    weights = paths.training(sources.shown.name) / "model.safetensors"
    made = {"commit": git_commit(paths.root), **versions()}
    return made | ({"SHA-256 of the weights": file_fingerprint([weights])} if weights.is_file() else {})


def _data_card(sources: Sources) -> str:
    evidence = sources.evidence
    flow, groups = flow_shown(sources)
    return data_card(
        DataFacts(
            name=evidence.paths.cohort,
            file=evidence.file,
            slides=evidence.slides,
            flow=flow,
            groups=groups,
            threshold=sources.told_threshold(threshold_shown(sources)),
            tied={
                name: content["cramers_v"]["train"] for name, content in evidence.groups["thresholds"].items()
            },
            patch=_cut(sources.card),
            twins=tuple(_renamed(each, sources) for each in evidence.twins),
            warned=len(evidence.warnings),
            said=_said(sources, _OF_DATA),
            made=data_fingerprints(evidence),
        )
    )


def _cut(card: ModelCard | str) -> dict[str, str]:
    if isinstance(card, str):
        return {"patch": f"not known, for a model’s card says it: {text(card)}"}
    kept = ("patch", "tissue", "tissue fraction in training")
    return {name: words for name, words in fed(card).items() if name in kept}


def _renamed(twins: Twins, sources: Sources) -> Twins:
    slides, patients = map(sources.ids.slide, twins.slides), map(sources.ids.patient, twins.patients)
    return replace(twins, slides=tuple(slides), patients=tuple(patients))


def _said(sources: Sources, titles: Mapping[str, str]) -> dict[str, str]:
    return {title: sources.settings.statements.of(key) for key, title in titles.items()}
