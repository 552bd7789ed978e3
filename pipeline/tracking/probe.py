"""A registered model in a process of its own: whether it loads and answers, how fast, and in how much memory.

Run by path, and it imports nothing of evenpatch: the model brings its own code, and that is what is probed.
Arguments are the model's folder, a .npz file of patches [N, H, W, C] and their tissue fractions [N], and the
JSON file to write.
"""

import io
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

_REPEATS = 3


def main(folder: str, patches: str, found: str) -> None:
    """Load the model, ask it for its own example and for the patches, and write what was found."""
    model = mlflow.pyfunc.load_model(folder)
    example = model.metadata.load_input_example(folder)
    answered = len(model.predict(example)) if example is not None else 0
    with np.load(patches, allow_pickle=False) as asked:
        cells = pd.DataFrame({"patch": [_encoded(patch_HWC) for patch_HWC in asked["patches_NHWC"]]})
        cells["tissue_fraction"] = asked["tissue_fraction_N"]
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        answer = model.predict(cells)
        seconds.append(time.perf_counter() - started)
    answers = {
        "examples": 0 if example is None else len(example),
        "answered": answered,
        "probability": answer["probability"].tolist(),
        "seconds_per_patch": statistics.median(seconds) / len(cells),
        "peak_mib": _peak_mib(),
    }
    Path(found).write_text(json.dumps(answers), encoding="utf-8")


def _encoded(patch_HWC: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, patch_HWC, allow_pickle=False)
    return buffer.getvalue()


def _peak_mib() -> float:
    # Linux counts what the starting process held into a child's ru_maxrss; VmHWM is the child's own.
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text(encoding="ascii").partition("VmHWM:")[2].split()[0]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
