"""Which Python `make` takes, on a path where names stand for interpreters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

AS_VERSION = "import sys; sys.version_info = {version}; exec(sys.argv[1])"


def write_stub(folder: Path, name: str, version: tuple[int, int] | None) -> str:
    """An interpreter that takes itself for that version; with None, one of pyenv's that only complains."""
    folder.mkdir(exist_ok=True)
    stub = folder / name
    if version is None:
        stub.write_text("#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n")
    else:
        told = f"Python {version[0]}.{version[1]}.0"
        run = f"exec '{sys.executable}' -c '{AS_VERSION.format(version=version)}' \"$2\""
        venv = 'mkdir -p "$3/bin"; echo "$0" > "$3/made-by"; ln -sf /bin/true "$3/bin/python"'
        stub.write_text(f'#!/bin/sh\ncase "$1" in --version) echo "{told}";; -c) {run};; -m) {venv};; esac\n')
    stub.chmod(0o755)
    return str(stub)


def found(repository: Path, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = str(repository / ".ci" / "find-python")
    environment = {"PATH": str(path)}
    return subprocess.run([script, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({"python3.14": (3, 14), "python3.11": (3, 11), "python3.12": (3, 12)}, "python3.11"),
        ({"python3.12": (3, 12), "python3.13": (3, 13)}, "python3.13"),
        ({"python3.12": (3, 12), "python3.13": None, "python3.11": None}, "python3.12"),
        ({"python3.12": (3, 12), "python3.14": (3, 14), "python3": (3, 10)}, "python3.14"),
    ],
)
def test_the_tested_version_comes_first_then_the_newest(
    there: dict[str, tuple[int, int] | None], taken: str, tmp_path: Path, repository: Path
) -> None:
    for name, version in there.items():
        write_stub(tmp_path / "bin", name, version)
    assert found(repository, tmp_path / "bin").stdout == f"{taken}\n"


@pytest.mark.parametrize(
    ("there", "told"),
    [({}, "python3 is nothing that runs"), ({"python3": (3, 10), "python3.15": (3, 15)}, "is Python 3.10.0")],
)
def test_without_a_suitable_one_it_is_told_what_there_is(
    there: dict[str, tuple[int, int]], told: str, tmp_path: Path, repository: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name, version in there.items():
        write_stub(tmp_path / "bin", name, version)
    done = found(repository, tmp_path / "bin")
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["has", "needs", "do"]


def test_the_one_that_was_asked_for_is_taken_or_refused(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "with space"
    write_stub(folder, "python3.11", (3, 11))
    mine, old, new = (write_stub(folder, f"mine{minor}", (3, minor)) for minor in (13, 10, 15))
    assert found(repository, folder, mine).stdout == f"{mine}\n"
    for refused, version in ((old, "3.10"), (new, "3.15")):
        done = found(repository, folder, refused)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{refused} is Python {version}.0" in done.stderr


def test_make_builds_the_environment_with_it(tmp_path: Path, repository: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((repository / name).read_text(encoding="utf-8"))
    (tmp_path / ".ci").symlink_to(repository / ".ci")
    python = write_stub(tmp_path / "bin", "python3.11", (3, 11))
    mine = write_stub(tmp_path / "elsewhere", "mine", (3, 12))
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS")}
    environment = {**inherited, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    made = tmp_path / ".venv" / "made-by"
    for arguments, taken in ([], python), ([f"PYTHON={mine}"], mine):
        (tmp_path / ".venv" / ".installed").unlink(missing_ok=True)
        command = ["make", ".venv/.installed", *arguments]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        assert made.read_text() == f"{taken}\n"
    old = write_stub(tmp_path / "elsewhere", "old", (3, 9))
    (tmp_path / ".venv" / ".installed").unlink()
    command = ["make", ".venv/.installed", f"PYTHON={old}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "old is Python 3.9.0" in done.stderr
