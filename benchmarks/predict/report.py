"""report.md from results.json: seconds of the processor, ratios within a round, bounds beside them."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tiling import results
from benchmarks.tiling.contest import median

Contest = Mapping[str, Mapping[str, Any]]
Entries = Mapping[str, Mapping[str, Any]]
EFFICIENCY, WALL, OUTSIDE, FASTER, MEMORY_MIB, SMALL_MS = 0.85, 0.85, 5.0, 1.7, 800.0, 20.0
PLANNING = {"large": 0.3, "phantom": 0.1}
"""Bounds: at least the first four, at most the others."""


def write(folder: Path) -> Path:
    """Write the report over everything that was ever measured; its path."""
    known = results.load(folder)
    # A quick run says nothing beside a real one.
    entries = {name: entry for name, entry in known.items() if not entry["quick"]} or known
    lines = ["# Benchmark of predict", "", *_machine(entries), ""]
    for section in (_efficiency, _steps, _peers, _memory, _small, _planning):
        lines += section(entries)
    path = folder / "report.md"
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return path


def efficiency(contest: Contest, works: Sequence[str]) -> float:
    """Works alone over the whole, seconds of the processor: the median over rounds."""
    return _over_rounds(
        contest,
        (*works, "evenpatch"),
        lambda run: sum(run[work]["cpu"] for work in works) / run["evenpatch"]["cpu"],
    )


def wall_share(contest: Contest) -> float:
    """The least time that decoding and network need on the cores, over the whole's; means much on an idle
    machine alone."""
    cores = contest["evenpatch"]["cores"]

    def share(run: Mapping[str, Any]) -> float:
        network, decoding = run["network"]["cpu"], run["read"]["cpu"]
        # Every thread may run the network.
        return float(max(network / cores, (decoding + network) / cores) / run["evenpatch"]["seconds"])

    return _over_rounds(contest, ("read", "network", "evenpatch"), share)


def _over_rounds(
    contest: Contest, names: Sequence[str], figure: Callable[[Mapping[str, Any]], float]
) -> float:
    rounds = zip(*(contest[name]["runs"] for name in names), strict=False)
    values = [figure(dict(zip(names, each, strict=True))) for each in rounds]
    return statistics.median(values) if values else math.nan


def _machine(entries: Entries) -> list[str]:
    if not entries:
        return ["Nothing was measured."]
    machines = [entry["machine"] for entry in entries.values()]
    latest = max(machines, key=lambda machine: str(machine["time"]))
    loads = [machine["load"] for machine in machines]
    commits = ", ".join(sorted({str(entry["commit"]) for entry in entries.values()}))
    told = (
        f"{latest['time']} UTC, {latest['cores']} cores, load before {min(loads)}–{max(loads)}; "
        f"Python {latest['python']}; commits {commits}."
    )
    quick = any(entry["quick"] for entry in entries.values())
    return [told, *(["**Quick runs: they show that it runs, not how fast.**"] if quick else [])]


def _efficiency(entries: Entries) -> list[str]:
    rows = []
    for (kind, quality), contest in _entries(entries, "efficiency/"):
        figures = [_per_patch(contest, name) for name in ("raw", "plan", "read", "network", "evenpatch")]
        shares = [
            _share(efficiency(contest, works))
            for works in (("raw", "network"), ("read", "network"), ("plan", "read", "network"))
        ]
        load = max((run["load"] for run in contest["evenpatch"]["runs"]), default=math.nan)
        rows.append(_cells(kind, quality, *figures, *shares, _share(wall_share(contest)), load))
    header = (
        "slides|quality|raw decoding|plan|read|network|evenpatch|raw + network|read + network"
        "|plan + read + network|of the clock|load"
    )
    told = [
        "Milliseconds of the processor a patch, each work alone and all of `evenpatch predict`.",
        "Then what works alone are of the whole, and the least time of the clock over that of the whole.",
        f"Wanted: read + network {EFFICIENCY:.0%}; of the clock {WALL:.0%} on an idle machine.",
    ]
    return _table("Four slides at once", header, rows, told)


def _steps(entries: Entries) -> list[str]:
    """Of the last turn's own threads."""
    rows = []
    for (kind, quality), contest in _entries(entries, "efficiency/"):
        for run in contest["evenpatch"]["runs"][-1:]:
            known = {step: 1000 * seconds / run["patches"] for step, seconds in run["steps"].items()}
            rest = 1000 * run["cpu"] / run["patches"] - sum(known.values())
            rows += [_cells(kind, quality, *pair) for pair in sorted((known | {"all else": rest}).items())]
    return _table("Where its time goes", "slides|quality|step|ms a patch", rows)


def _peers(entries: Entries) -> list[str]:
    if "peers" not in entries:
        return []
    contest = entries["peers"]["contest"]
    if error := contest["TIAToolbox"].get("error"):
        return ["## Beside TIAToolbox", "", f"failed: {error.splitlines()[-1]}", ""]
    rows = []
    for name, found in contest.items():
        inside = statistics.median(_inside(run) for run in found["runs"])
        rows.append(
            _cells(
                name,
                _per_patch(contest, name),
                1000 * inside / found["runs"][0]["patches"],
                _times(contest, name, _outside),
                _times(contest, name, lambda run: float(run["cpu"])),
                _times(contest, name, lambda run: float(run["seconds"])),
                max(run["peak_mib"] for run in found["runs"]),
            )
        )
    header = (
        "tool|ms of the processor a patch|in the network|times evenpatch's outside it|times the whole"
        "|times the clock|peak MiB"
    )
    told = [f"One core each. Wanted: {OUTSIDE:g} times outside the network, {FASTER:g} times the whole."]
    told.append(_agreement(contest))
    return _table("Beside TIAToolbox", header, rows, told)


def _inside(run: Mapping[str, Any]) -> float:
    return float(run["network_cpu"] if "network_cpu" in run else run["steps"]["predict"])


def _outside(run: Mapping[str, Any]) -> float:
    return float(run["cpu"]) - _inside(run)


def _times(contest: Contest, name: str, figure: Callable[[Mapping[str, Any]], float]) -> float:
    return _over_rounds(
        {"theirs": contest[name], "ours": contest["evenpatch"]},
        ("theirs", "ours"),
        lambda run: figure(run["theirs"]) / figure(run["ours"]),
    )


def _agreement(contest: Contest) -> str:
    ours, theirs = (_probabilities(contest[name]["runs"][-1]) for name in ("evenpatch", "TIAToolbox"))
    largest = max(abs(ours[key] - theirs[key]) for key in ours.keys() & theirs.keys())
    patches = "The same patches" if ours.keys() == theirs.keys() else "Not the same patches"
    return f"{patches}; the largest difference of probability is {largest:.1g}."


def _probabilities(run: Mapping[str, Any]) -> dict[tuple[str, int, int], float]:
    """By slide and place."""
    return {(slide, int(x), int(y)): p for slide, patches in run["found"].items() for x, y, p in patches}


def _memory(entries: Entries) -> list[str]:
    found = sorted(_entries(entries, "memory/"), key=lambda item: int(item[0][0]))
    rows = [
        _cells(f"{int(side):,}²", run["patches"], run["peak_mib"])
        for (side,), contest in found
        for run in contest["evenpatch"]["runs"]
    ]
    rows += [
        _cells(f"four, {kind}, {quality}", run["patches"], run["peak_mib"])
        for (kind, quality), contest in _entries(entries, "efficiency/")
        for run in contest["evenpatch"]["runs"][-1:]
    ]
    return _table("Peak memory", "slides|patches|MiB", rows, [f"Wanted: {MEMORY_MIB:g} MiB at most, flat."])


def _small(entries: Entries) -> list[str]:
    if "small" not in entries:
        return []
    contest = entries["small"]["contest"]
    if any(not found["runs"] for found in contest.values()):
        return ["## Many small slides", "", "failed", ""]
    count = contest["evenpatch"]["runs"][0]["slides"]
    each = {name: 1000 * median(found, "cpu") / count for name, found in contest.items()}
    beyond = each["evenpatch"] - sum(value for name, value in each.items() if name != "evenpatch")
    rows = [_cells(*pair) for pair in (each | {"beyond": beyond}).items()]
    told = [f"{count} slides; wanted: {SMALL_MS:g} ms beyond planning, reading and network."]
    return _table("Many small slides", "work|ms of the processor a slide", rows, told)


def _planning(entries: Entries) -> list[str]:
    if "planning" not in entries:
        return []
    rows = [
        _cells(name, median(found, "cpu"), min(run["cpu"] for run in found["runs"]), PLANNING[name])
        for name, found in entries["planning"]["contest"].items()
        if found["runs"]
    ]
    return _table("Planning in one thread", "slide|median s of the processor|least|wanted", rows)


def _entries(entries: Entries, prefix: str) -> Iterator[tuple[list[str], Contest]]:
    for name, entry in entries.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix).split("/"), entry["contest"]


def _per_patch(contest: Contest, name: str) -> float:
    runs = contest[name]["runs"]
    return 1000 * median(contest[name], "cpu") / runs[0]["patches"] if runs else math.nan


def _share(value: float) -> str:
    return f"{value:.1%}"


def _table(title: str, header: str, rows: Sequence[str], told: Sequence[str] = ()) -> list[str]:
    if not rows:
        return []
    names = header.split("|")
    explained = [*told, ""] if told else []
    return [f"## {title}", "", *explained, f"| {' | '.join(names)} |", "|" + "---|" * len(names), *rows, ""]


def _cells(*values: object) -> str:
    return f"| {' | '.join(_cell(value) for value in values)} |"


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
