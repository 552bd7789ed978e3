"""What the explain stage writes, and the report reads: a table, two JSON files, pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.artifacts import GALLERY, Paths
from pipeline.explain.subject import fingerprints_of
from pipeline.files import read_json, read_table

TABLE, FACTS, SLIDES_FILE, PICTURES = "gallery.parquet", "explain.json", "slides.json", "pictures"


@dataclass(frozen=True)
class Explanation:
    """The hand-over of a run, as it lies on disk.

    Attributes:
        table: GALLERY, in the order in which it is shown.
        facts: run, algorithm, threshold, fingerprints, counts, and what the maps mean (explain.json).
        slides: by slide_id what became of it: `state`, and `tumor`, rings of its annotation, or null.
        folder: pictures lie in it, by the names of the table.
    """

    table: pd.DataFrame
    facts: Mapping[str, Any]
    slides: Mapping[str, Any]
    folder: Path

    def picture(self, name: str) -> bytes | None:
        """The bytes of a picture; None where there is none."""
        path = self.folder / PICTURES / name
        return path.read_bytes() if name and path.is_file() else None


def explanation_of(paths: Paths, run: str) -> Explanation | str:
    """The hand-over of a run, or why there is none, in words."""
    folder = paths.explained
    if not (folder / FACTS).is_file():
        return "evenpatch explain has not run"
    facts = read_json(folder / FACTS, "explain")
    if facts["run"] != run:
        return f"evenpatch explain has run for {facts['run']}, and this report is about {run}"
    present = fingerprints_of(paths, run)
    if changed := [name for name, digest in facts["fingerprints"].items() if present.get(name) != digest]:
        return f"{', '.join(changed)} changed since evenpatch explain has run"
    return Explanation(
        table=read_table(folder / TABLE, GALLERY, "explain"),
        facts=facts,
        slides=read_json(folder / SLIDES_FILE, "explain"),
        folder=folder,
    )
