"""Patients, slides and patches of every split; what was left out or warned of; a few slides' grids."""

from collections.abc import Hashable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.data.splitting import SPLITS
from pipeline.artifacts import Paths
from pipeline.look.html import small_picture
from pipeline.report.evidence import Evidence
from pipeline.report.names import Names
from pipeline.report.sources import Sources

_OVERLAY_SIDE = 640
_MOST = 50
"""Slides listed of each kind: files hold all."""


def values(sources: Sources) -> Mapping[str, Any]:
    """Counts per split, the excluded slides, and overlays of the first slides of each label."""
    evidence, paths = sources.evidence, sources.evidence.paths
    warned, excluded = evidence.warnings, evidence.excluded
    total = len(evidence.slides) + int((excluded["stage"] == "ingest").sum())
    return {
        "counts": split_counts(evidence.index),
        "excluded": [_excluded(row, sources.ids) for row in excluded.head(_MOST).to_dict("records")],
        "n_excluded": len(excluded),
        "excluded_files": [_named(paths, file) for file in (paths.ingest_excluded, paths.tile_excluded)],
        "total": total,
        "budget": evidence.error_budget,
        "warned": {sources.ids.slide(name): warned[name] for name in islice(warned, _MOST)},
        "more_warned": max(0, len(warned) - _MOST),
        "warned_file": _named(paths, paths.overlays / "cohort.html"),
        # The slide's name is drawn into them.
        "overlays": [] if sources.ids.hidden else _overlays(evidence, sources.settings.overlays),
    }


def split_counts(index: pd.DataFrame) -> list[dict[str, Any]]:
    """Patients, slides and patches by label of every split, and of all together."""
    parts = [(name, index[index["split"] == name]) for name in SPLITS] + [("all", index)]
    return [
        {
            "split": name,
            "patients": part["patient_id"].nunique(),
            "slides": part["slide_id"].nunique(),
            "patches": len(part),
            "normal": int((part["label"] == 0).sum()),
            "tumor": int((part["label"] == 1).sum()),
            "tissue": float(part["tissue_fraction"].mean()),
        }
        for name, part in parts
    ]


def _excluded(row: Mapping[Hashable, Any], ids: Names) -> dict[str, Any]:
    """With the slide's name as it is printed; reasons name files."""
    reason = "not told, for ids are hashed" if ids.hidden else row["reason"]
    return {
        "slide_id": ids.slide(row["slide_id"]),
        "stage": row["stage"],
        "error": row["error"],
        "reason": reason,
    }


def _named(paths: Paths, file: Path) -> str:
    return file.relative_to(paths.root).as_posix()


def _overlays(evidence: Evidence, wanted: int) -> list[dict[str, Any]]:
    """Overlays of slides spread evenly over the slides ordered by their share of tumor patches."""
    share = evidence.index.groupby("slide_id")["label"].mean().reset_index()
    slides = share.sort_values(["label", "slide_id"])["slide_id"].tolist()
    present = [name for name in slides if (evidence.paths.overlays / f"{name}.jpg").is_file()]
    places = np.unique(np.linspace(0, len(present) - 1, min(wanted, len(present))).round().astype(int))
    return [
        {
            "slide_id": present[place],
            "tumor": float(share.set_index("slide_id").loc[present[place], "label"]),
            "picture": small_picture(evidence.paths.overlays / f"{present[place]}.jpg", _OVERLAY_SIDE),
        }
        for place in places
    ]
