"""What the report cannot tell. Its words, explained for a clinician, are in the template."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.sources import Sources


def values(sources: Sources) -> Mapping[str, Any]:
    """The limits that hold for this cohort."""
    return {
        "single": sources.single,
        "phantom": sources.evidence.is_phantom,
        "patients": sources.evidence.index.query("split == 'test'")["patient_id"].nunique(),
    }
