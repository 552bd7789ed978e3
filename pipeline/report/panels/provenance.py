"""What it takes to get this report again: commit, data, settings, seeds, commands."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline.files import file_fingerprint
from pipeline.flattening import flat
from pipeline.look.numbers import exact
from pipeline.provenance import git_commit, versions
from pipeline.report.evidence import Evidence
from pipeline.report.sources import Sources
from pipeline.results.runs import made_by
from pipeline.results.tested import rule_of
from pipeline.training.layout import TISSUE


class Command(NamedTuple):
    """A line for a shell, and what it does."""

    does: str
    line: str


def values(sources: Sources) -> Mapping[str, Any]:
    """Tables of the choice, the settings, versions and fingerprints."""
    evidence = sources.evidence
    settings = [_settings(run.record) for run in evidence.runs]
    names = list(dict.fromkeys(name for record in settings for name in record))
    rows = {name: [record.get(name, "–") for record in settings] for name in names}
    return {
        "commands": list(commands(sources)),
        "commit": git_commit(evidence.paths.root),
        "versions": versions(),
        "fingerprints": data_fingerprints(evidence),
        "choices": [
            (sources.named(run.algorithm), run, _chosen(run.record), unheard(run.record))
            for run in evidence.runs
        ],
        "rules": {run.name: _rule(run.record) for run in evidence.runs},
        "runs": [run.name for run in evidence.runs],
        "common": {name: row[0] for name, row in rows.items() if _alike(row)},
        "different": {name: row for name, row in rows.items() if not _alike(row)},
    }


def commands(sources: Sources) -> Iterator[Command]:
    """What makes this report again, in the order in which it is run; each line can be copied as it is."""
    evidence = sources.evidence
    commit = git_commit(evidence.paths.root)
    if commit != "unknown":
        dirty = ", which had uncommitted changes" if commit.endswith("-dirty") else ""
        yield Command(f"The code as it was{dirty}", f"git checkout {commit.removesuffix('-dirty')}")
    cohort = shlex.quote(evidence.paths.cohort)
    yield Command(
        "All at once: the environment, and every stage that is not up to date", f"make repro COHORT={cohort}"
    )
    if evidence.is_phantom:
        yield Command(
            "Or step by step: the slides, which are generated", f"evenpatch phantom --cohort {cohort}"
        )
    verbs = ("ingest", "tile", "statistics", "split", "attribute", "shortcuts")
    steps = " && ".join(f"evenpatch {verb} --cohort {cohort}" for verb in verbs)
    yield Command(
        "From slides to patches, splits and groups"
        if evidence.is_phantom
        else "Or step by step: from slides to patches, splits and groups",
        steps,
    )
    for run in runs_behind(sources):
        line = " && ".join(made_by(evidence.paths.cohort, run))
        yield Command(f"The training {run}, and its test", line)
    if sources.study:
        yield Command("The repeated cross-validation", f"evenpatch study --cohort {cohort}")
    yield Command(
        "What the report asks of networks and slides",
        f"evenpatch explain --cohort {cohort} && evenpatch intervene --cohort {cohort}",
    )
    yield Command("This report", f"evenpatch report --cohort {cohort}")


def runs_behind(sources: Sources) -> list[str]:
    """Names of the trainings that a figure of this report is of; those of other seeds come last."""
    names = [run.name for run in sources.evidence.runs]
    plain = [
        method
        for board in sources.boards.values()
        for method in board.methods
        if rule_of(method.algorithm) is None
    ]
    return list(dict.fromkeys((*names, *(run.name for method in plain for run in method.pool.runs))))


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    return flat(
        {"seed": record["seed"], "algorithm": record["algorithm_settings"], "train": record["train_settings"]}
    )


def _alike(row: list[Any]) -> bool:
    return all(value == row[0] for value in row)


def _rule(record: Mapping[str, Any]) -> str:
    """The figure that chose, and whose; or why none did."""
    rule = record["train_settings"]["selection"].replace("_", " ")
    choice = record.get("choice", {"by": "validation"})
    if choice["by"] == "last":
        return f"last step of the first candidate ({choice['why']})"
    return rule if choice["by"] == "validation" else f"{rule}, {choice['why']}"


def _chosen(record: Mapping[str, Any]) -> str:
    override = record["trials"][record["chosen"]]["override"]
    return ", ".join(f"{name} = {exact(value)}" for name, value in override.items()) or "–"


def unheard(record: Mapping[str, Any]) -> list[str]:
    """Groups with too few validation patches to have a say in the choice."""
    validation = record["validation"]
    return [name for g, name in enumerate(TISSUE.names) if isinstance(validation.get(f"accuracy_g{g}"), str)]


def data_fingerprints(evidence: Evidence) -> dict[str, str]:
    """SHA-256 of the tables that define the data of every figure here."""
    paths = evidence.paths
    tables = [paths.attribute_table(threshold) for threshold in evidence.thresholds]
    files = (paths.slides, paths.index, paths.splits, *tables)
    return {path.relative_to(paths.root).as_posix(): file_fingerprint([path]) for path in files}
