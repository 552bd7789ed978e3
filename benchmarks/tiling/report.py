"""report.md and tiling.png from results.json: medians, and ratios of the same round."""

import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tiling import places, results
from benchmarks.tiling.contest import median, ratio
from benchmarks.tiling.picture import draw

Entries = Mapping[str, Mapping[str, Any]]


def write() -> Path:
    """Write the report over everything that was ever measured; its path."""
    known = results.load(places.RESULTS)
    # A quick run says nothing beside a real one.
    entries = {name: entry for name, entry in known.items() if not entry["quick"]} or known
    sections = (_pixels, _steps, _peers, _read, _write, _memory, _area, _small, _slides, _dask)
    lines = ["# Tiling benchmark", "", *_machine(entries), ""]
    for section in sections:
        lines += section(entries)
    path = places.RESULTS / "report.md"
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    draw(entries, places.RESULTS / "tiling.png")
    return path


def rate(result: Mapping[str, Any]) -> float:
    """Patches per second: the median run's."""
    runs = result["runs"]
    return runs[0]["patches"] / median(result) if runs else math.nan


def _machine(entries: Entries) -> list[str]:
    machines = [entry["machine"] for entry in entries.values()]
    if not machines:
        return ["Nothing was measured."]
    quick = (
        " **Quick runs: they show that it runs, not how fast.**"
        if any(e["quick"] for e in entries.values())
        else ""
    )
    latest = max(machines, key=lambda machine: str(machine["time"]))
    libraries = ", ".join(f"{name} {number}" for name, number in latest["libraries"].items())
    loads = [machine["load"] for machine in machines]
    told = f"{latest['time']} UTC, {latest['cores']} cores, load {min(loads)}–{max(loads)}"
    commits = ", ".join(sorted({str(entry.get("commit", "unknown")) for entry in entries.values()}))
    method = "Medians; ratios are medians over rounds in which the contestants took turns; files page-cached."
    return [f"{told}; Python {latest['python']}, {libraries}; commits {commits}.{quick}", method]


def _table(title: str, header: str, rows: list[str]) -> list[str]:
    if not rows:
        return []
    names = header.split("|")
    return [f"## {title}", "", f"| {' | '.join(names)} |", "|" + "---|" * len(names), *rows, ""]


def _entries(entries: Entries, prefix: str) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
    for name, entry in entries.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix).split("/"), entry["contest"]


def _cells(*values: object) -> str:
    return f"| {' | '.join(_cell(value) for value in values)} |"


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _pixels(entries: Entries) -> list[str]:
    rows = []
    for (kind, case, workers), contest in _entries(entries, "pixels/"):
        raw = contest["raw"]
        tiles = raw["runs"][0]["tiles"] if raw["runs"] else "–"
        for name, ours in contest.items():
            if name != "raw":
                told = case if name == "evenpatch" else f"{case}, {name}"
                decoded = ours["runs"][0].get("tiles_decoded", "–") if ours["runs"] else "–"
                share = f"{ratio(raw, ours):.0%}"
                rows.append(_cells(kind, told, workers, rate(raw), rate(ours), share, tiles, decoded))
    header = "slide|grid|workers|raw patches/s|evenpatch patches/s|share|tiles needed|tiles decoded"
    return _table("Share of raw decoding", header, rows)


def _steps(entries: Entries) -> list[str]:
    """Median seconds of each step of evenpatch, as its own log tells them."""
    rows = []
    for (kind, case, workers), contest in _entries(entries, "pixels/"):
        runs = [run["steps"] for run in contest["evenpatch"]["runs"] if run.get("steps")]
        medians = {step: statistics.median(run[step] for run in runs) for step in (runs[0] if runs else ())}
        rows += [_cells(kind, case, workers, *pair) for pair in medians.items()]
    return _table("Where the time goes", "slide|grid|workers|step|seconds", rows)


def _peers(entries: Entries) -> list[str]:
    rows = []
    for (case, workers), contest in _entries(entries, "peers/"):
        for name, found in contest.items():
            times = f"{_times(contest['evenpatch'], found):.1f}" if found["runs"] else "failed"
            peak = max((run["peak_mib"] for run in found["runs"]), default=math.nan)
            rows.append(_cells(case, workers, name, rate(found), times, peak))
    return _table(
        "Beside other tools", "grid|workers|tool|patches/s|evenpatch is times as fast|peak MiB", rows
    )


def _times(ours: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """How many times as many patches per second ours makes, rounds paired."""
    each = [run["seconds"] / run["patches"] for run in other["runs"]]
    mine = [run["seconds"] / run["patches"] for run in ours["runs"]]
    ratios = [a / b for a, b in zip(each, mine, strict=False)]
    return statistics.median(ratios) if ratios else math.nan


def _read(entries: Entries) -> list[str]:
    rows = []
    for (codec,), contest in _entries(entries, "storage/read/"):
        ours, alone = contest["evenpatch"], contest.get("tensorstore")
        compared = (rate(alone), f"{1 - ratio(alone, ours):.1%}") if alone else ("–", "–")
        rows.append(_cells(codec, rate(ours), *compared))
    return _table(
        "Random batches of 64 patches", "codec|PatchStore.read, patches/s|TensorStore, patches/s|lost", rows
    )


def _write(entries: Entries) -> list[str]:
    for _, contest in _entries(entries, "storage/write"):
        first = next(iter(contest.values()))
        rows = [_cells(codec, rate(found), f"{_times(found, first):.2f}") for codec, found in contest.items()]
        return _table("End to end with each codec", "codec|patches/s|times the first", rows)
    return []


def _memory(entries: Entries) -> list[str]:
    found = sorted(_entries(entries, "limits/memory/"), key=lambda item: (int(item[0][1]), int(item[0][0])))
    rows = [
        _cells(f"{int(side):,}²", workers, run["patches"], run["seconds"], run["peak_mib"], run["tree_mib"])
        for (side, workers), contest in found
        for run in contest["evenpatch"]["runs"]
    ]
    return _table("Peak memory", "slide|workers|patches|seconds|main process MiB|with children MiB", rows)


def _area(entries: Entries) -> list[str]:
    for _, contest in _entries(entries, "limits/area"):
        done = {name: found for name, found in contest.items() if found["runs"]}
        patches = np.array([found["runs"][0]["patches"] for found in done.values()])
        seconds = np.array([median(found) for found in done.values()])
        slope, start = np.polyfit(patches, seconds, 1)
        squared = float(np.corrcoef(patches, seconds)[0, 1] ** 2)
        rows = [_cells(name, int(p), float(s)) for name, p, s in zip(done, patches, seconds, strict=True)]
        told = f"{start:.2f} s + {1000 * slope:.2f} ms a patch, R² = {squared:.4f}"
        return [*_table("Time over tissue area", "tissue|patches|seconds", rows), told, ""]
    return []


def _small(entries: Entries) -> list[str]:
    for _, contest in _entries(entries, "limits/small"):
        if any(not found["runs"] for found in contest.values()):
            return ["Many small slides failed.", ""]
        count = contest["evenpatch"]["runs"][0]["slides"]
        over = 1000 * (median(contest["evenpatch"]) - median(contest["raw"])) / count
        return ["## Many small slides", "", f"{count} slides: {over:.1f} ms a slide beyond raw decoding.", ""]
    return []


def _slides(entries: Entries) -> list[str]:
    for _, contest in _entries(entries, "limits/slides"):
        if any(not found["runs"] for found in contest.values()):
            return ["Several slides failed.", ""]
        share = ratio(contest["raw"], contest["evenpatch"])
        told = f"{rate(contest['evenpatch']):,.0f} patches/s, {share:.0%} of raw decoding in two threads."
        return ["## Four slides in two processes", "", told, ""]
    return []


def _dask(entries: Entries) -> list[str]:
    for _, contest in _entries(entries, "limits/dask"):
        if any(not found["runs"] for found in contest.values()):
            return ["## dask", "", f"not measured: {contest['1'].get('error', '').splitlines()[-1:]}", ""]
        return [
            "## dask",
            "",
            f"Two workers are {ratio(contest['1'], contest['2']):.2f} times as fast as one.",
            "",
        ]
    return []
