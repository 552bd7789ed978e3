"""What a page of tables is made of, whatever its markup."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """Lines of a cell, the figure first; `strong` where a difference is told from 0."""

    lines: tuple[str, ...]
    strong: bool = False


@dataclass(frozen=True)
class Row:
    """A line of a table; `marked` for the candidate's own."""

    name: str
    cells: tuple[Cell, ...]
    marked: bool = False


@dataclass(frozen=True)
class Block:
    """One table. `head` has a title for the name and one for every cell; `short` has the terminal's."""

    caption: str
    explanation: str
    head: tuple[str, ...]
    short: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Chapter:
    """The tables of one scoreboard, or others that belong together.

    Attributes:
        statements: the verdict in words; may be empty.
    """

    title: str
    lead: str
    statements: tuple[str, ...]
    blocks: tuple[Block, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """Everything to be written; `record` is the content of the JSON file."""

    cohort: str
    title: str
    description: str
    chapters: tuple[Chapter, ...]
    notes: tuple[str, ...]
    record: Mapping[str, Any]
    version: str
