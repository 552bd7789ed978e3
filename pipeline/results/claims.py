"""What a study says of a model from which no patient was kept apart: figures of models trained alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.networks.card import ModelCard
from patching.errors import ArtifactError
from pipeline.artifacts import run_name
from pipeline.config import Context
from pipeline.files import read_json
from pipeline.results.figures import Method, Scoreboard
from pipeline.results.predictions import find_tested
from pipeline.results.runs import study_left_out, tuning_trials
from pipeline.results.scoreboards import scoreboards_of
from pipeline.results.terms import judging_of, terms_of
from pipeline.results.tested import Tested
from pipeline.training.patches import table_fingerprints


@dataclass(frozen=True)
class StudyClaim:
    """The figures of a study's models that were trained as a model was, on parts of its patients.

    Attributes:
        algorithm: the method.
        board: of its figures.
        folds, repeats: of the cross-validation.
        trials: of `evenpatch tune`, which chose the settings from patients that the study tests; 0 without.
    """

    algorithm: str
    board: Scoreboard
    folds: int
    repeats: int
    trials: int

    @property
    def method(self) -> Method:
        """The method on the board."""
        return next(each for each in self.board.methods if each.algorithm == self.algorithm)

    @property
    def tuned(self) -> str:
        """Why the figures are too good, in words; empty where they are not."""
        if not self.trials:
            return ""
        chosen = f"the settings are the best of {self.trials} trials of `evenpatch tune`"
        return f"{chosen}, chosen on patients that the study tests"

    @property
    def told(self) -> str:
        """What the figures are of, in words."""
        repeats = f"{self.repeats} {'repeat' if self.repeats == 1 else 'repeats'}"
        return (
            f"Cross-validation by patient, {self.folds} folds, {repeats}: figures of models trained alike on "
            "parts of these patients, not of these weights."
        )


def study_claim(context: Context, card: ModelCard, record: Mapping[str, Any]) -> StudyClaim:
    """What the cohort's present study says of a training.

    Args:
        context: of the cohort.
        card: of the training's model.
        record: its run.json.

    Raises:
        ArtifactError: there is no study of these patches, settings, threshold and method; says what differs.
    """
    reason = study_left_out(context) or _of_other_data(context, card) or _of_other_settings(context, record)
    reason = reason or _of_another_decision(card)
    tested = [] if reason else find_tested(context, ["study"])
    own = [one for one in tested if (one.algorithm, one.threshold) == (card.algorithm, card.threshold)]
    if not own:
        raise ArtifactError(
            has=reason or f"the study has no figures of {card.algorithm} at threshold {card.threshold}",
            needs="a finished study of these patches, settings, method and threshold: nobody was kept apart",
            do=f"run `evenpatch study --cohort {context.cohort}` with the method among `study.algorithms` "
            "(not `others`), or give `split.test` a share and train",
        )
    settings = read_json(context.paths.study / "study.json", "study")["settings"]
    return StudyClaim(
        algorithm=card.algorithm,
        board=_board(context, own, card),
        folds=int(settings["folds"]),
        repeats=len(own),
        trials=tuning_trials(
            context.paths.trials("tune", run_name(card.algorithm, card.threshold)), card.algorithm_settings
        ),
    )


def _board(context: Context, own: Sequence[Tested], card: ModelCard) -> Scoreboard:
    terms = terms_of(context, own, judging_of(context), candidate=card.algorithm, references=())
    # Of the method as it was trained: rules that are laid over it are another model's.
    (board,) = scoreboards_of(own, replace(terms, decided=()))
    return board


def _of_other_data(context: Context, card: ModelCard) -> str:
    present = table_fingerprints(context.paths, card.threshold)
    changed = [file for file, digest in card.fingerprints.items() if present.get(file) != digest]
    if not card.fingerprints:
        return "the model's card does not say what it was trained on"
    return f"{', '.join(changed)} changed since the model was trained" if changed else ""


def _of_other_settings(context: Context, record: Mapping[str, Any]) -> str:
    """How the training's settings differ from those of the study's trainings."""
    made = record.get("settings")
    if not made:
        return "the training's run.json does not say which settings it was made with; train again"
    used = read_json(context.paths.study / "study.json", "study").get("fingerprints", {})
    # A method that the study does not have is told as such.
    known = {name: own for name, own in made.items() if name in used or not name.startswith("algorithms.")}
    if untold := sorted(set(known) - set(used)):
        return f"the study does not say with which {', '.join(untold)} its models were trained; run it again"
    changed = sorted(name for name, own in known.items() if used[name] != own)
    return f"{', '.join(changed)} of the training are other settings than the study's" if changed else ""


def _of_another_decision(card: ModelCard) -> str:
    """A study's classes are those of the larger probability."""
    own = card.decision
    if own.rule == "plain" and own.threshold == 0.5:
        return ""
    return f"the model decides by the rule {own.rule} at {own.threshold:g}, the study's models plainly at 0.5"
