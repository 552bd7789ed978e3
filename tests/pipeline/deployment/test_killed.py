"""A prediction that was killed is finished by the same command, with the same files."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_files_are_the_same_after_kills(tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.faults", "predict-kill", "--kills", "3"]
    command += ["--outputs", str(tmp_path)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| predict-kill | kills | 3 |" in done.stdout
