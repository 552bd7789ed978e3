"""Whether settings come from a search: its trials chose from validation patients too."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.files import read_json


def searched_trials(folder: Path, settings: Mapping[str, Any]) -> int:
    """How many trials of `evenpatch tune` these settings are the best of; 0 where they are not.

    Args:
        folder: of the search (artifacts.Paths.trials).
        settings: of the algorithm.

    Raises:
        ArtifactError: tune.json is damaged.
    """
    path = folder / "tune.json"
    if not path.is_file():
        return 0
    content = read_json(path, "tune")
    best = content["best"]["settings"]
    if any(key not in settings or settings[key] != value for key, value in best.items()):
        return 0
    return int(content["n_trials"]) + int(content["n_earlier"])
