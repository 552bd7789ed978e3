"""The command line: help for every verb, exit code 2 for what the user can mend."""

import argparse
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from models.training.interruption import StopRequested
from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.stages import split
from pipeline.verbs import VERBS, Verb

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert ("a file of configs/cohorts" in told) != VERBS[verb].standalone
    assert "--log-level" in told
    assert told.split("\n\n")[1].startswith((import_module(VERBS[verb].module).__doc__ or "")[:20])


@pytest.mark.parametrize("verb", [name for name, each in VERBS.items() if not each.standalone])
def test_a_misspelt_section_is_an_error_of_every_verb(
    verb: str, small_cohort: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_cohort.root / "configs" / "cohorts" / "small.yaml"
    path.write_text(path.read_text() + f"tain: {{epochs: {'b' * 500}}}\n")
    extra = {"tune": ["--algorithm", "erm"]}.get(verb, [])
    assert main([verb, "--root", str(small_cohort.root), "--cohort", "small", *extra]) == 2
    told = capsys.readouterr().err
    assert f"{path} with tain (did you mean train?)" in told
    assert "b" * 60 not in told
    needs = next(line for line in told.splitlines() if line.startswith("needs"))
    assert needs.endswith(f"algorithms, {', '.join(name for name, each in VERBS.items() if each.settings)}")


def test_an_expected_error_is_told_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["split", "--root", str(tmp_path), "--cohort", "none"]) == 2
    told = capsys.readouterr().err
    assert [line.split(":")[0] for line in told.splitlines()[1:]] == ["has", "needs", "do"]


def test_an_unknown_verb_ends_with_2() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["tyle"])
    assert caught.value.code == 2


def test_starting_up_imports_neither_torch_nor_mlflow() -> None:
    code = "import sys, pipeline.cli; sys.exit(bool({'torch', 'mlflow', 'monai'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("stage", ["import", "ingest", "tile", "split", "attribute", "select"])
def test_data_stages_do_not_wait_for_torch(stage: str) -> None:
    code = f"import sys, {VERBS[stage].module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_cohort_is_the_selected_one(small_cohort: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    (small_cohort.root / "configs" / "params.yaml").write_text("cohort: small\n")
    assert main(["split", "--root", str(small_cohort.root)]) == 0
    assert small_cohort.splits.is_file()


def test_nothing_selected_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "params.yaml").write_text("algorithms: [erm]\n")
    assert main(["split", "--root", str(tmp_path)]) == 2
    assert "evenpatch select --cohort NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "told"), [("select", "phantom)"), ("split", "`cohort` of configs/params.yaml)")]
)
def test_the_help_names_the_default_cohort(verb: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    assert told in " ".join(capsys.readouterr().out.split())


@pytest.fixture
def greeting(monkeypatch: pytest.MonkeyPatch) -> list[argparse.Namespace]:
    """What a verb without a project was called with; `greet` and `wave` are added to the table."""
    called: list[argparse.Namespace] = []
    stage = ModuleType("pipeline.stages.greet", "Greet somebody by name.")
    stage.__dict__.update(add_arguments=lambda parser: parser.add_argument("name"), run=called.append)
    monkeypatch.setitem(sys.modules, stage.__name__, stage)
    for name in ("greet", "wave"):
        monkeypatch.setitem(VERBS, name, Verb(stage.__name__, f"{name} somebody", standalone=True))
    return called


def test_a_verb_without_a_project_asks_for_none(
    greeting: list[argparse.Namespace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["greet", "Ada", "--log-level", "info"]) == 0
    (options,) = greeting
    assert options.name == "Ada"
    assert not {"cohort", "root"} & set(vars(options))
    for refused in ("--cohort", "--root"):
        with pytest.raises(SystemExit) as caught:
            main(["greet", "Ada", refused, "here"])
        assert caught.value.code == 2


def test_the_help_names_the_verbs_without_a_project(
    greeting: list[argparse.Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "greet, wave" in " ".join(capsys.readouterr().out.split()).split("in any folder: ")[1]


def test_the_help_leaves_registering_out_of_repro(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "evaluate, explain, intervene, report, track. `dvc repro` runs them all" in told


def test_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("evenpatch 0.")


def test_code_on_the_path_without_its_distribution_still_starts(tmp_path: Path) -> None:
    # As a served model has it: the packages in a folder of its own.
    for package in ("patching", "models", "pipeline"):
        (tmp_path / package).symlink_to(ROOT / package)
    code = (
        "import sys, importlib.metadata as m; found = m.version\n"
        "def version(name):\n    if name == 'evenpatch': raise m.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "m.version = version\n"
        "from pipeline.cli import main; from pipeline.provenance import versions\n"
        "assert versions()['evenpatch'] == 'unknown' != versions()['numpy']\nmain(['--version'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "evenpatch unknown\n"


@pytest.mark.parametrize(("stopped", "code"), [(StopRequested(15), 143), (KeyboardInterrupt(), 130)])
def test_told_to_end_it_says_how_to_go_on(
    stopped: KeyboardInterrupt,
    code: int,
    small_cohort: Paths,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*arguments: object) -> None:
        raise stopped

    monkeypatch.setattr(split, "run", stop)
    assert main(["split", "--root", str(small_cohort.root), "--cohort", "small"]) == code
    assert "the same command goes on" in capsys.readouterr().err


def test_the_stages_are_told_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split()).partition("in this order: ")[2].partition(".")[0]
    staged = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert set(told.split(", ")) == set(staged) - {"phantom"}
