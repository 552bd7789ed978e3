"""A page of tables in every form it is written in: the same cells, other markup."""

import itertools
import json
import re
import textwrap
from collections.abc import Callable, Iterator

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.look.html import make_environment
from pipeline.tables.blocks import Block, Cell, Chapter, Page

_LATEX = {
    "\\": r"\textbackslash{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "±": r"$\pm$",
    "–": "--",
    "“": "``",
    "”": "''",
}
_MARKDOWN = re.compile(r"([\\`*_|<>])")
_TITLES = textwrap.TextWrapper(14, break_long_words=False, break_on_hyphens=False)
"""Breaks the titles of columns in LaTeX."""


def latex_text(text: str) -> str:
    """Text whose every mark LaTeX prints as it is.

    >>> print(latex_text("a_b: 5 % − 1"))
    a\\_b: 5 \\% $-$ 1
    """
    return "".join(_LATEX.get(mark, mark) for mark in text)


def markdown_text(text: str) -> str:
    """Text in a Markdown table, on one line."""
    return _MARKDOWN.sub(r"\\\1", text.replace("\n", " "))


def markdown(page: Page) -> str:
    """Tables for a README or a pull request."""
    lines = [f"# {markdown_text(page.title)}", "", markdown_text(page.description)]
    for chapter in page.chapters:
        lines += ["", f"## {markdown_text(chapter.title)}", "", markdown_text(chapter.lead)]
        lines += [f"\n**{markdown_text(statement)}**" for statement in chapter.statements]
        for block in chapter.blocks:
            lines += ["", f"**{markdown_text(block.caption)}** {markdown_text(block.explanation)}", ""]
            lines += markdown_rows(block)
        lines += [f"\n{markdown_text(remark)}" for remark in chapter.remarks]
    lines += ["", *(f"- {markdown_text(note)}" for note in page.notes)]
    return "\n".join(lines) + "\n"


def markdown_rows(block: Block) -> Iterator[str]:
    """One table, without its caption."""
    yield f"| {' | '.join(map(markdown_text, block.head))} |"
    yield "|---" * len(block.head) + "|"
    for row in block.rows:
        yield f"| {' | '.join([markdown_text(row.name), *map(_markdown_cell, row.cells)])} |"


def _markdown_cell(cell: Cell) -> str:
    text = markdown_text(" ".join(cell.lines))
    return f"**{text}**" if cell.strong else text


def latex(page: Page) -> str:
    r"""One `table` per block, to \input into a document that loads booktabs."""
    lines = [r"% Needs \usepackage{booktabs} in the preamble."]
    for chapter in page.chapters:
        lines += [rf"\par\noindent \textbf{{{latex_text(each)}}}" for each in chapter.statements]
        for block in chapter.blocks:
            lines += _latex_table(page, chapter, block)
        lines += [rf"\par\noindent {latex_text(remark)}" for remark in chapter.remarks]
    lines += [rf"\par\noindent {latex_text(note)}" for note in page.notes]
    return "\n".join(lines) + "\n"


def _latex_table(page: Page, chapter: Chapter, block: Block) -> Iterator[str]:
    caption = f"{page.cohort}. {chapter.title}. {block.caption} {block.explanation}"
    yield r"\begin{table}[tbp]"
    yield r"\centering\small\setlength{\tabcolsep}{4pt}"
    yield rf"\caption{{{latex_text(caption)}}}"
    yield rf"\begin{{tabular}}{{@{{}}l{'r' * (len(block.head) - 1)}@{{}}}}"
    yield r"\toprule"
    titles = (list(map(latex_text, _TITLES.wrap(title))) for title in block.head)
    yield " & ".join(_stack(title, "r" if place else "l") for place, title in enumerate(titles)) + r" \\"
    yield r"\midrule"
    for row in block.rows:
        # The braces keep a name that begins with a bracket from being read as an argument of \\.
        cells = [f"{{{latex_text(row.name)}}}", *(_latex_cell(cell) for cell in row.cells)]
        yield " & ".join(cells) + r" \\[1ex]"
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield r"\end{table}"


def _latex_cell(cell: Cell) -> str:
    first, *others = cell.lines
    shown = latex_text(first)
    return _stack([rf"\textbf{{{shown}}}" if cell.strong else shown, *map(latex_text, others)], "r")


def _stack(lines: list[str], side: str) -> str:
    if len(lines) < 2:
        return "".join(lines)
    # Braces, for the same reason.
    inner = r"\\{}".join(lines)
    return rf"\shortstack[{side}]{{{inner}}}"


def html(page: Page) -> str:
    """A page that is complete in itself, for the screen and for paper."""
    return make_environment("pipeline.tables").get_template("compare.html").render(page=page, scripts=())


def as_json(page: Page) -> str:
    """The unrounded figures."""
    return json.dumps(page.record, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


WRITERS: dict[str, Callable[[Page], str]] = {
    "table.md": markdown,
    "table.tex": latex,
    "table.html": html,
    "table.json": as_json,
}
"""Files of the compare verb, and who writes them."""


def printed(page: Page, width: int) -> Group:
    """The tables for a terminal of `width` columns."""
    parts: list[RenderableType] = []
    for chapter in page.chapters:
        parts += [Text(f"{page.cohort}: {chapter.title}", style="bold"), Text(chapter.lead)]
        parts += [Text(statement, style="bold") for statement in chapter.statements]
        parts += [printed_block(block, width) for block in chapter.blocks]
        parts += [Text(remark) for remark in chapter.remarks]
        parts.append(Text())
    return Group(*parts, *(Text(note, style="dim") for note in page.notes))


def printed_block(block: Block, width: int) -> Table:
    """One table for a terminal of `width` columns."""
    table = Table(box=SIMPLE, padding=0, title=Text(block.caption), title_justify="left")
    rows = [[(row.name,), *(cell.lines for cell in row.cells)] for row in block.rows]
    columns = [(title, *itertools.chain(*lines)) for title, *lines in zip(block.short, *rows, strict=True)]
    widest = [max(map(len, lines)) for lines in columns]
    if sum(widest) + len(widest) >= width:
        # Lines break between words, and no word or figure is cut.
        widest = [max(len(word) for line in lines for word in line.split()) for lines in columns]
    for place, (title, most) in enumerate(zip(block.short, widest, strict=True)):
        table.add_column(Text(title), justify="left" if place == 0 else "right", width=most)
    for row in block.rows:
        table.add_row(Text(row.name), *(_printed_cell(cell) for cell in row.cells), end_section=True)
    return table


def _printed_cell(cell: Cell) -> Text:
    return Text("\n".join(cell.lines), style="bold" if cell.strong else "")
