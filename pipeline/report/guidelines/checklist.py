"""The items of a guideline, and what can be said of each: where it is answered, by whom, or why not."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Self

import yaml
from pydantic import model_validator

from pipeline.config import Settings
from pipeline.report.guidelines.statements import Statements

GUIDELINES = ("tripod_ai", "claim")
"""Files of this room, in the order in which they are shown."""
ANSWERED, PARTLY, YOURS, OPEN, NOT_APPLICABLE = STATES = (
    "answered",
    "answered in part",
    "for you to fill in",
    "not answered",
    "not applicable",
)


class Item(Settings):
    """One item, in our own words.

    Raises:
        ValueError: nothing says where or by whom it is answered, or more than one thing.
    """

    item: str
    """Its number, with the letter of a sub-item."""
    topic: str
    asks: str
    where: tuple[str, ...] = ()
    """Panels of the report by name, and files beside it, that answer it."""
    answer: str = ""
    """Words to it, with `{facts}`."""
    if_: str = ""
    """Name of the fact under which `where` and `answer` hold."""
    otherwise: str = ""
    """Why it is not answered where that fact is not."""
    says: str = ""
    """The statement (Statements) of the study's people that it asks for."""
    gap: str = ""
    """Why no report of ours answers it."""
    not_applicable: str = ""
    """Why it does not apply."""

    @model_validator(mode="before")
    @classmethod
    def _if(cls, content: dict[str, object]) -> dict[str, object]:
        # `if` is no name of Python's.
        return {"if_" if key == "if" else key: value for key, value in content.items()}

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if bool(self.where or self.says) + bool(self.gap) + bool(self.not_applicable) != 1:
            raise ValueError(f"item {self.item}: give where or says, or gap, or not_applicable")
        if bool(self.if_) != bool(self.otherwise):
            raise ValueError(f"item {self.item}: give if and otherwise together")
        if self.says and self.says not in Statements.model_fields:
            raise ValueError(f"item {self.item}: no statement is called {self.says}")
        return self


class Guideline(Settings):
    """A guideline: its name, its full title, where it was published, and its items in order."""

    name: str
    title: str
    source: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Answer:
    """What the report says to an item.

    Attributes:
        state: one of STATES.
        where: names of panels and files that answer it.
        words: what there is to say.
        statement: of the study's people.
        missing: key of the statement that is not there yet; empty where none is missing.
    """

    item: Item
    state: str
    where: tuple[str, ...] = ()
    words: str = ""
    statement: str = ""
    missing: str = ""


def read_guideline(name: str) -> Guideline:
    """Read the YAML file of a guideline, one of GUIDELINES."""
    text = files("pipeline.report.guidelines").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return Guideline.model_validate(yaml.safe_load(text))


def answers(
    guideline: Guideline, conditions: Mapping[str, bool], words: Mapping[str, str], said: Statements
) -> tuple[Answer, ...]:
    """What is said to every item.

    Args:
        guideline: of the items.
        conditions: by the name that items have under `if`.
        words: what `{...}` in answers stands for.
        said: by the people of the study.
    """
    return tuple(_answer(item, conditions, words, said) for item in guideline.items)


def _answer(item: Item, conditions: Mapping[str, bool], words: Mapping[str, str], said: Statements) -> Answer:
    if item.gap:
        return Answer(item, OPEN, words=item.gap)
    if item.not_applicable:
        return Answer(item, NOT_APPLICABLE, words=item.not_applicable)
    statement = said.of(item.says) if item.says else ""
    missing = item.says if item.says and not statement else ""
    holds = not item.if_ or conditions[item.if_]
    if not holds:
        told = item.otherwise.format_map(words)
        return Answer(item, OPEN, words=told, statement=statement, missing=missing)
    state = ANSWERED
    if missing:
        state = PARTLY if item.where else YOURS
    return Answer(item, state, item.where, item.answer.format_map(words), statement, missing)
