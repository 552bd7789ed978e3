"""The model card: what a model is, is for, must be fed, decides by, reaches, and where it ends; Markdown."""

import shlex
from collections.abc import Mapping

from models.networks.card import ModelCard
from models.networks.card_file import load_card
from models.networks.evidence import Evidence
from patching.errors import ArtifactError, CheckpointError
from pipeline.artifacts import Paths
from pipeline.cards.markdown import code, listed, page, section, table, text
from pipeline.cards.words import decided, fed, figures
from pipeline.config import CohortFile
from pipeline.training.layout import NamedLayout


def read_card(paths: Paths, name: str) -> ModelCard:
    """model.json of a training, without its weights.

    Raises:
        ArtifactError: missing, or of another version.
    """
    try:
        return load_card(paths.training(name))
    except CheckpointError as error:
        raise ArtifactError(has=error.has.splitlines()[0], needs=error.needs, do=error.do) from error


def model_card(
    card: ModelCard,
    evidence: Evidence,
    *,
    name: str,
    folder: str,
    said: Mapping[str, str],
    made: Mapping[str, str],
) -> str:
    """The document.

    Args:
        card, evidence: of the model.
        name: of its method, to print.
        folder: that its weights and card lie in, relative to the project.
        said: what the people of the study say, by what it is about; empty words are left out.
        made: versions and fingerprints by name.
    """
    layout = NamedLayout(card.classes, card.attribute.names)
    counts = [str(count) for row in card.counts for count in row]
    facts = {
        "method": f"{text(name)} ({code(card.algorithm)})",
        "trained at threshold": text(card.threshold),
        "seed": str(card.seed),
        "network": code(card.backbone),
        "chosen": text(evidence.chosen),
        "files": f"{code(folder)}: weights in safetensors, and model.json",
    }
    return (
        page(
            f"# Model card: {text(evidence.training)}, cohort {text(evidence.cohort)}",
            f"Says of a patch whether it is {text(' or '.join(card.classes))}. {text(evidence.description)}",
            section("What it is", table(("", ""), facts.items()), 2),
            section("Intended use", page(text(evidence.intended_use), _stated(said)), 2),
            section("What it must be fed", table(("", ""), fed(card).items()), 2),
            section("How it decides", table(("", ""), decided(card).items()), 2),
            section("How well it does", figures(card, evidence), 2),
            section("Limits", listed(evidence.limits), 2),
            section(
                "What it was trained on",
                page(
                    "Patches of each group; `data_card.md` tells the rest of the data.",
                    table(("group", "patches"), zip(map(text, layout.names), counts, strict=True)),
                ),
                2,
            ),
            section("How to use it", _called(card, folder), 2),
            section(
                "How it was made", table(("", ""), ((key, code(value)) for key, value in made.items())), 2
            ),
        )
        + "\n"
    )


def unread_card(
    training: str, file: CohortFile, *, why: str, said: Mapping[str, str], made: Mapping[str, str]
) -> str:
    """The document where model.json cannot be read; `why` not, in words. The rest is as of `model_card`."""
    return (
        page(
            f"# Model card: {text(training)}",
            f"What the model is, must be fed and decides by is not known: {text(why)}.",
            section("Intended use", page(text(file.intended_use), _stated(said)), 2),
            section(
                "How it was made", table(("", ""), ((key, code(value)) for key, value in made.items())), 2
            ),
        )
        + "\n"
    )


def _stated(said: Mapping[str, str]) -> str:
    return "\n\n".join(f"**{text(about)}** {text(words)}" for about, words in said.items() if words)


def _called(card: ModelCard, folder: str) -> str:
    if card.tissue is None:
        return (
            "It was trained on imported images, and predicts no slides. docs/serving.md says how to call it."
        )
    command = f"evenpatch predict SLIDES --model {shlex.quote(folder)} --out predicted"
    also = "A tracked model is called by its address as well: docs/predict.md, docs/serving.md."
    return f"```\n{command}\n```\n\n{also}"
