"""report.md from results.json: medians, and ratios of the same round."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.tiling.contest import median

ALONE = "network alone"
COLUMNS = (
    "backbone, patches", "method", "samples a step", "ms a step", "CPU ms a step", "images/s",
    "of the network alone", "waited for patches", "peak MiB",
)  # fmt: skip


def write(folder: Path, entries: Mapping[str, Any]) -> str:
    """Write results.json and report.md; the text of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    lines = ["# Training step benchmark", ""]
    lines += sorted({entry["machine"] for entry in entries.values()})
    lines += ["", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    for name, entry in entries.items():
        lines += rows(name, entry["contest"])
    text = "\n".join(lines) + "\n"
    (folder / "report.md").write_text(text, encoding="utf-8")
    return text


def rows(name: str, contest: Mapping[str, Any]) -> list[str]:
    """One row per contestant."""
    made = []
    for method, found in contest.items():
        if not found["runs"]:
            made.append(_row(name, method, f"failed: {found['error'].splitlines()[-1]}", *[""] * 6))
            continue
        patches, steps = (sum(run[key] for run in found["runs"]) for key in ("patches", "steps"))
        a_step = median(found) / found["runs"][0]["steps"]
        waited = median({"runs": [{"seconds": run["waited"] / run["seconds"]} for run in found["runs"]]})
        peak = max(_peak(run) for run in found["runs"])
        made.append(
            _row(
                name, method, f"{patches / steps:.1f}", f"{1000 * a_step:.0f}",
                f"{1000 * median(found, 'cpu_seconds') / found['runs'][0]['steps']:.0f}",
                f"{patches / steps / a_step:.0f}", f"{speed(contest[ALONE], found):.0%}",
                "–" if method == ALONE else f"{waited:.0%}", f"{peak:,.0f}",
            )
        )  # fmt: skip
    return made


def speed(alone: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """Images per second, as a share of the network's alone in the same round; the median over rounds."""
    pairs = zip(alone["runs"], found["runs"], strict=False)
    shares = [(b["patches"] / b["seconds"]) / (a["patches"] / a["seconds"]) for a, b in pairs]
    return median({"runs": [{"seconds": share} for share in shares]})


def _peak(run: Mapping[str, Any]) -> float:
    """Of the device where it is a GPU, else of the process."""
    device_mib = float(run["device_mib"])
    return float(run["peak_mib"]) if math.isnan(device_mib) else device_mib


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
