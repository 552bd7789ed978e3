"""What it takes to get this report again: commit, data, settings, seeds, commands."""

from collections.abc import Mapping
from typing import Any

from patching.manifest import fingerprint
from pipeline.evidence import Evidence
from pipeline.flattening import flat
from pipeline.panels.base import Sources
from pipeline.provenance import git_commit, versions


def values(sources: Sources) -> Mapping[str, Any]:
    """Tables of versions, fingerprints and settings."""
    evidence = sources.evidence
    settings = {run.name: flat(run.record) for run in evidence.runs}
    names = sorted({key for record in settings.values() for key in record})
    shared = {key for key in names if len({str(record.get(key, "")) for record in settings.values()}) == 1}
    first = next(iter(settings.values()))
    return {
        "cohort": evidence.paths.cohort,
        "commit": git_commit(evidence.paths.root),
        "versions": versions(),
        "fingerprints": data_fingerprints(evidence),
        "runs": [run.name for run in evidence.runs],
        "common": {key: first[key] for key in names if key in shared},
        "different": {
            key: [record.get(key, "") for record in settings.values()] for key in names if key not in shared
        },
    }


def data_fingerprints(evidence: Evidence) -> dict[str, str]:
    """SHA-256 of the tables that define the data of every figure here."""
    paths = evidence.paths
    files = (paths.slides, paths.index, paths.splits, paths.attribute_table)
    return {path.relative_to(paths.root).as_posix(): fingerprint([path]) for path in files}
