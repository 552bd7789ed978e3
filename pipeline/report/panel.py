"""What a panel of the report is, and which question of a reader it helps to answer."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pipeline.report.sources import Sources


class Question(StrEnum):
    """What a reader of the report asks, in the order of its parts."""

    TRUST = "When can I trust it?"
    FAIL = "Where does it fail?"
    WHY = "Why?"
    COMPARED = "What was it compared with?"
    MADE = "How was it made?"


@dataclass(frozen=True)
class Panel:
    """A part of the report: `templates/<name>.html` rendered with `sources`, and its own `values` if any.

    Attributes:
        question: the reader's, that it helps to answer.
        appendix: whether it is detail, which the printed report leaves out unless it is asked for.
        tested: whether it is about test patients, and left out where there are none; False: it is there only
            then; None: it is always there.
        scripts: files among the templates that it runs; sort.js is there already.
        files: what lies beside the report in the folder of the panel's name, if anything: names in it, which
            may hold `/`, and contents. Links to them are `<name>/...`.
        present: whether there is anything to show; without it there always is.
    """

    name: str
    title: str
    question: Question
    values: Callable[[Sources], Mapping[str, Any]] | None = None
    tested: bool | None = None
    appendix: bool = False
    scripts: tuple[str, ...] = ()
    files: Callable[[Sources], Iterator[tuple[str, bytes]]] | None = None
    present: Callable[[Sources], bool] | None = None
