"""The report: what it says, that it is whole in itself, and that nothing in it can run."""

import re
from pathlib import Path

import pytest

from pipeline import report
from pipeline.config import Context
from tests.pipeline.finished import write_cohort


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Context:
    return write_cohort(
        tmp_path_factory.mktemp("report"), repository, description="A toy <script>alert(2)</script> cohort."
    )


@pytest.fixture(scope="module")
def page(context: Context) -> str:
    report.run(context, None)
    return context.paths.report.read_text(encoding="utf-8")


def test_the_file_is_complete_in_itself(page: str) -> None:
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:|#)", page)
    assert "://" not in page
    assert len(page.encode()) < 4e6
