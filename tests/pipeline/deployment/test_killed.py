"""A prediction that was killed is finished by the same command, with the same files."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.deployment.specimens import specimen, write_model, write_slide


@pytest.mark.slow
def test_files_are_the_same_after_kills(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "slides").mkdir()
    for seed in range(6):
        write_slide(tmp_path / "slides" / f"s{seed}.tif", specimen(200 + 30 * seed, 190, seed))
    model = write_model(tmp_path / "model")
    command = [sys.executable, "-m", "benchmarks.predict.kill", tmp_path, tmp_path / "slides", model, "6"]
    done = subprocess.run(list(map(str, command)), cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
