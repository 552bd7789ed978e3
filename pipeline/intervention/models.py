"""The models that are asked: the candidate and what it is compared with, plain and decided by rules."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter

from models.networks.card import DecisionCard
from patching.errors import AlgorithmError
from pipeline.artifacts import name_parts
from pipeline.config import Context, stage_mapping
from pipeline.results.decided import fitted_rules
from pipeline.results.predictions import sound_runs
from pipeline.results.runs import listed_runs
from pipeline.results.terms import Terms, judging_of, terms_of
from pipeline.results.tested import CONTROL, Tested, decided_name


@dataclass(frozen=True)
class Asked:
    """One trained network, and every way in which its log-odds are decided.

    Attributes:
        run: of its training (artifacts.run_name).
        folder: with weights and card.
        decisions: by the name of the method (pipeline.results.tested); the plain one first.
    """

    run: str
    folder: Path
    decisions: Mapping[str, DecisionCard]


@dataclass(frozen=True)
class Models:
    """All networks that are asked, at the threshold of the report's subject.

    Attributes:
        tested: test patches of the first one; all were tested on the same.
        remarks: which runs could not be read and which rules not fitted, and why.
    """

    threshold: str
    asked: tuple[Asked, ...]
    terms: Terms
    tested: pd.DataFrame
    remarks: tuple[str, ...]


def models_of(context: Context) -> Models | None:
    """The candidate, and the references of configs/report.yaml; None where no run has test patients.

    Raises:
        ArtifactError: no training has been evaluated, or that of the report's subject cannot be read.
        ConfigError: the settings of the report are wrong.
    """
    content, judging = stage_mapping(context.configs, context.cohort, "report"), judging_of(context)
    references = TypeAdapter(tuple[str, ...]).validate_python(content["references"])
    names = listed_runs(context)
    found, unread = sound_runs(context, names, judging.subject(name_parts(name)[:2] for name in names))
    runs = [run for run in found if len(run.patches)]
    subject = judging.subject((run.algorithm, run.threshold) for run in runs)
    if subject is None:
        return None
    terms = terms_of(context, runs, judging, references=references)
    wanted = {subject[0], judging.candidate, *references}
    own = [run for run in runs if run.threshold == subject[1] and run.algorithm in wanted]
    own.sort(key=lambda run: terms.place(run.algorithm))
    remarks = list(unread)
    asked = tuple(
        Asked(run.name, context.paths.training(run.name), _decisions(run, terms, remarks)) for run in own
    )
    return Models(subject[1], asked, replace(terms, references=references), own[0].patches, tuple(remarks))


def _decisions(run: Tested, terms: Terms, remarks: list[str]) -> dict[str, DecisionCard]:
    """Plain, by tissue, and as the model's own card says where that is another."""
    found = {run.algorithm: DecisionCard()}
    try:
        found[decided_name(run.algorithm, CONTROL)] = fitted_rules(run, CONTROL, terms)[0]
    except AlgorithmError as error:
        remarks.append(f"{terms.named(decided_name(run.algorithm, CONTROL))} is left out: {error.has}.")
    if run.decision is not None:
        # Its own rule goes before one that is fitted again.
        found[run.as_decided] = run.decision
    return found
