"""Markdown whose words are a user's: nothing in them is read as markup."""

import html
import re
from collections.abc import Iterable


def text(words: str) -> str:
    """Words of a user's in one line, without Markdown's and HTML's meaning.

    >>> print(text("a_b <i>"))
    a\\_b &lt;i&gt;
    """
    plain = re.sub(r"([\\`*_\[\]|#])", r"\\\1", " ".join(words.split()))
    return html.escape(plain, quote=False)


def code(words: str) -> str:
    """Words of a user's as code in a cell of a table, without Markdown's and HTML's meaning.

    >>> print(code("a_b|`c"))
    ``a_b\\|`c``
    """
    line = " ".join(words.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    # A backtick beside the fence would make it longer.
    gap = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{gap}{line}{gap}{fence}".replace("|", r"\|")


def section(title: str, body: str, level: int = 3) -> str:
    """A heading and what stands under it."""
    return f"{'#' * level} {title}\n\n{body}"


def listed(lines: Iterable[str]) -> str:
    """A list of a user's sentences."""
    return "\n".join(f"- {text(line)}" for line in lines)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; its cells are Markdown already."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(*parts: str) -> str:
    """Parts with an empty line between them; empty ones are left out."""
    return "\n\n".join(part for part in parts if part)
