"""Start the probe of a registered model, and read what it found."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PATIENCE_S = 900
_ENVIRONMENT = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


@dataclass(frozen=True)
class Probe:
    """What a model did in a process of its own.

    Attributes:
        failure: why it did not load or answer; empty where it did, and only then the rest has a meaning.
        examples, answered: rows of its input example, and of its answer to it.
        probability: its answers to the patches.
        seconds_per_patch, peak_mib: on this machine's CPU, memory with all libraries.
    """

    failure: str
    examples: int = 0
    answered: int = 0
    probability: tuple[float, ...] = ()
    seconds_per_patch: float = float("nan")
    peak_mib: float = float("nan")

    @property
    def trouble(self) -> str:
        """Why the model is not fit to be served, in words; empty where it loads and answers its example."""
        if self.failure or 0 < self.examples == self.answered:
            return self.failure
        return f"{self.answered} answers to the {self.examples} rows of its input example"


def probe(model: Path, patches_NHWC: NDArray[Any], tissue_fraction_N: NDArray[np.float64]) -> Probe:
    """Load a downloaded model where nothing of evenpatch is imported but its own code, and ask it.

    Args:
        model: its folder, as the registry has it.
        patches_NHWC: raw patches, at least one.
        tissue_fraction_N: of each; NaN where it is not known, which a model may refuse.
    """
    with tempfile.TemporaryDirectory() as folder:
        patches, found = Path(folder) / "patches.npz", Path(folder) / "found.json"
        np.savez(patches, patches_NHWC=patches_NHWC, tissue_fraction_N=tissue_fraction_N)
        script = Path(__file__).with_name("probe.py")
        # -P: the script's folder is no place to import from.
        command = [sys.executable, "-P", *map(str, (script, model, patches, found))]
        try:
            done = subprocess.run(  # noqa: S603
                command,
                env=os.environ | _ENVIRONMENT,
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=_PATIENCE_S,
            )
        except subprocess.TimeoutExpired:
            return Probe(f"no answer within {_PATIENCE_S} s")
        if done.returncode:
            told = [line for line in done.stderr.splitlines() if line.strip()]
            return Probe(f"exit code {done.returncode}: {told[-1] if told else 'without a word'}")
        answers = json.loads(found.read_text(encoding="utf-8"))
    return Probe(failure="", **(answers | {"probability": tuple(answers["probability"])}))
