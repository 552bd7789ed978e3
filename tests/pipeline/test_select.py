"""Choosing the cohort of `dvc repro`."""

import logging
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from patching.errors import ConfigError, MissingFileError
from pipeline.artifacts import Paths
from pipeline.cli import main
from pipeline.config import Context, load_cohort
from pipeline.stages.select import check
from pipeline.verbs import VERBS
from pipeline.yaml_file import load_yaml


@pytest.fixture
def root(tmp_path: Path, repository: Path, phantom_selected: bytes) -> Path:
    shutil.copytree(repository / "configs", tmp_path / "configs")
    (tmp_path / "configs" / "params.yaml").write_bytes(phantom_selected)
    return tmp_path


def params(root: Path) -> dict[str, object]:
    content: dict[str, object] = yaml.safe_load((root / "configs" / "params.yaml").read_text())
    return content


def test_a_real_cohort_is_depended_on_by_its_manifest(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENPATCH_REAL_DATA", "elsewhere/deep/..")
    manifest = root / "elsewhere" / "breast-pshg-tma" / "slides.csv"
    (root / "elsewhere" / "deep").mkdir(parents=True)
    manifest.parent.mkdir(parents=True)
    manifest.write_text("slide_id\n")
    before = params(root)
    assert main(["select", "--root", str(root), "--cohort", "pshg"]) == 0
    chosen = {"cohort": "pshg", "source": "elsewhere/breast-pshg-tma/slides.csv", "phantoms": []}
    assert params(root) == before | chosen | {"detector": "signal"}
    assert main(["select", "--root", str(root), "--cohort", "phantom"]) == 0
    assert params(root) == before


def test_selecting_the_same_again_leaves_the_file_alone(root: Path) -> None:
    path = root / "configs" / "params.yaml"
    before = path.stat().st_mtime_ns, path.read_bytes()
    assert main(["select", "--root", str(root), "--cohort", "phantom"]) == 0
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


def test_what_was_selected_already_is_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert main(["select", "--root", str(root), "--cohort", "phantom"]) == 0
    assert "phantom was selected already; next: `dvc repro`" in caplog.messages


def test_a_threshold_that_the_cohort_lacks_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_short(root)
    before = path.read_bytes()
    chosen = root / "configs" / "params.yaml"
    chosen.write_text(yaml.safe_dump(params(root) | {"thresholds": ["lower", "high", "odd"]}))
    assert main(["select", "--root", str(root), "--cohort", "mine"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "params.yaml with the threshold lower (did you mean low?), odd needs:" in told
    assert "the cohort mine has: low, high do:" in told
    assert "add it to configs/cohorts/mine.yaml, attribute.thresholds" in told
    assert (params(root)["cohort"], path.read_bytes()) == ("phantom", before)
    # What the cohort's own file adds counts as well.
    write_short(root, SHORT + "attribute: {thresholds: {lower: {quantile: 0.3}, odd: {quantile: 0.5}}}\n")
    assert main(["select", "--root", str(root), "--cohort", "mine"]) == 0


def test_a_threshold_of_the_cohort_that_nothing_trains_is_told(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_short(root, SHORT + "attribute: {thresholds: {odd: {quantile: 0.5}, high: {quantile: 0.7}}}\n")
    assert main(["select", "--root", str(root), "--cohort", "mine"]) == 0
    (told,) = (text for text in caplog.messages if "nothing will train it" in text)
    assert told.startswith("configs/cohorts/mine.yaml has the threshold odd, ")


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"train": {"epoch": 3}}, "epoch = 3: Extra inputs are not permitted (did you mean epochs?)"),
        ({"register": {"validation": {"figur": "wga"}}}, "did you mean figure?"),
        ({"study": {"repeats": 0}}, "repeats = 0"),
        ({"algorithms": {"gerne": {"candidates": [{"bta": 0.5}]}}}, "did you mean beta?"),
        ({"algorithms": {"grene": {}}}, "grene.yaml"),
    ],
)
def test_a_wrong_setting_of_any_stage_is_found_at_once(
    root: Path, section: dict[str, object], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load((root / "configs" / "cohorts" / "phantom.yaml").read_text())
    content |= {"manifest": "data/mine/raw/slides.csv"} | section
    (root / "configs" / "cohorts" / "mine.yaml").write_text(yaml.safe_dump(content))
    assert main(["select", "--root", str(root), "--cohort", "mine"]) == 2
    assert told in capsys.readouterr().err
    assert params(root)["cohort"] == "phantom"


def rewrite(root: Path, drop: str, **section: object) -> None:
    path = root / "configs" / "cohorts" / "phantom.yaml"
    content = yaml.safe_load(path.read_text()) | section
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if key != drop}))


SHORT = """\
# Mine.
manifest: slides.csv  # beside this
description: "A sentence that is long enough to be broken by whoever breaks lines after eighty columns."

split: # all as it is
algorithms:
  erm:
  gerne: {c: 0.25} # a quarter
tile:
  patch: {size: 64, downsample: 1}
  classes: {"No": normal, "Yes": tumor, 0: ignore, "007": tumor}
"""


def write_short(root: Path, text: str = SHORT) -> Path:
    (root / "slides.csv").write_text("slide_id\n")
    path = root / "configs" / "cohorts" / "mine.yaml"
    path.write_text(text)
    return path


def test_sections_that_are_left_out_are_added_for_dvc(root: Path, repository: Path) -> None:
    path = write_short(root)
    before = load_cohort(root / "configs", "mine")
    assert main(["select", "--root", str(root), "--cohort", "mine"]) == 0
    text, found = path.read_text(), load_yaml(path)
    named = {name for name, verb in VERBS.items() if verb.needs_section}
    assert [found[name] for name in named - {"tile"}] == [{}] * (len(named) - 1)
    asked: dict[str, object] = {name: {} for name in ("erm", "class_balanced", "group_resampling")}
    assert found["algorithms"] == asked | {"gerne": {"c": 0.25}}
    assert found["tile"] == load_yaml(write_short(root))["tile"]
    for line in SHORT.splitlines():
        assert line in text.splitlines() or line in ("split: # all as it is", "  erm:")
    path.write_text(text)
    assert load_cohort(root / "configs", "mine").sections.keys() >= before.sections.keys()
    modified = path.stat().st_mtime_ns
    assert main(["select", "--root", str(root), "--cohort", "mine"]) == 0
    assert path.stat().st_mtime_ns == modified


def test_nothing_but_the_slides_has_to_be_said(root: Path) -> None:
    path = write_short(root, "manifest: slides.csv\ndescription: Mine.\ntile: {patch: {size: 64, mpp: 1}}\n")
    assert main(["select", "--root", str(root), "--cohort", "mine"]) == 0
    assert load_yaml(path)["algorithms"]["erm"] == {}


def test_a_file_that_does_not_pass_is_left_as_it_is(root: Path) -> None:
    path = write_short(root, SHORT + "train: {epoch: 3}\n")
    before = path.read_bytes()
    assert main(["select", "--root", str(root), "--cohort", "mine"]) == 2
    assert path.read_bytes() == before


def test_the_phantoms_section_is_added_where_it_is_generated(root: Path) -> None:
    rewrite(root, "phantom")
    assert main(["select", "--root", str(root), "--cohort", "phantom"]) == 0
    assert load_yaml(root / "configs" / "cohorts" / "phantom.yaml")["phantom"] == {}


def test_select_itself_refuses_a_section_of_nobody(root: Path) -> None:
    rewrite(root, "study", stuby={})
    with pytest.raises(ConfigError, match=r"stuby \(did you mean study\?\)"):
        check(Context("phantom", Paths(root, "phantom"), root / "configs"), ())


def test_an_algorithm_without_code_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "configs" / "params.yaml"
    path.write_text(yaml.safe_dump(params(root) | {"algorithms": ["erm", "magic"]}))
    (root / "configs" / "algorithms" / "magic.yaml").write_text("batch_size: 8\n")
    assert main(["select", "--root", str(root), "--cohort", "phantom"]) == 2
    assert "algorithm 'magic'" in capsys.readouterr().err


def test_a_manifest_that_is_not_there_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENPATCH_REAL_DATA", "nowhere")
    assert main(["select", "--root", str(root), "--cohort", "pshg"]) == 2
    assert params(root)["cohort"] == "phantom"
    assert issubclass(MissingFileError, FileNotFoundError)


def test_the_shipped_parameters_are_those_of_the_phantom(repository: Path) -> None:
    command = ["git", "show", "HEAD:configs/params.yaml"]
    found = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"not a git checkout: {found.stderr.strip()}")
    shipped = yaml.safe_load(found.stdout)
    assert shipped["phantoms"] == ["phantom"]
    assert load_cohort(repository / "configs", "phantom").manifest == f"{shipped['source']}/slides.csv"
