"""The files of a new project: settings with their comments, a slides.csv to fill, and what DVC runs."""

import re
from collections.abc import Iterator
from pathlib import Path
from string import Template

from pipeline.artifacts import Paths
from pipeline.config import Context, load_cohort, load_layered, require_slides, stage_mapping
from pipeline.defaults import shipped, shipped_cohorts
from pipeline.projects.choice import edited, source

_VERSION = "installed.txt"
_TEMPLATE = "he-qupath"
"""The shipped cohort that others begin as."""
_HEAD = f"""\
# Every stage is also `evenpatch <stage>`. The code of them all is the installed evenpatch: its version is in
# {_VERSION}, so that another version runs them again.
"""
_STAGE = f"""
  installed:
    always_changed: true
    cmd: evenpatch --version > {_VERSION}
    outs:
      - {_VERSION}:
          cache: false
"""
_CODE = re.compile(r" +- (patching|models|pipeline)/")


def skeleton(folder: Path, cohort: str, scm: bool) -> dict[str, str]:
    """Text of every file of a new project, by its path in the folder; dvc.yaml comes last.

    Args:
        folder: the project's.
        cohort: its name; a shipped cohort begins with its own file, any other with one to edit.
        scm: whether the folder lies in a git repository, which DVC has to be told.

    Raises:
        ConfigError: the cohort is a shipped benchmark, whose images are imported.
        MissingFileError: the slides of a shipped real cohort are not where its file says.
    """
    origin = shipped()
    folders = (origin / "configs", origin / "configs" / "algorithms")
    verbatim = sorted(path for folder in folders for path in folder.glob("*.yaml"))
    verbatim += [origin / name for name in (".gitignore", ".dvcignore", ".dvc/.gitignore")]
    files = {path.relative_to(origin).as_posix(): _text(path) for path in verbatim}
    files[".dvc/config"] = _text(origin / ".dvc" / "config") + ("" if scm else "    no_scm = true\n")
    own, values = _of_cohort(folder, cohort)
    files |= own
    files["configs/params.yaml"] = edited(files["configs/params.yaml"], values)
    files["README.md"] = _filled("README.md", cohort)
    return files | {"dvc.yaml": without_code(_text(origin / "dvc.yaml"))}


def without_code(text: str) -> str:
    """dvc.yaml of a project: instead of the code's files, stages depend on the installed version.

    A comment that stands over a file of code goes with it.
    """
    head, stages = text.split("\nstages:\n")
    variables = "".join(f"{line}\n" for line in head.splitlines() if not line.startswith("#"))
    return f"{_HEAD}{variables}\nstages:{_STAGE}\n" + "".join(_data_lines(stages))


def _data_lines(stages: str) -> Iterator[str]:
    comments: list[str] = []
    for line in stages.splitlines(keepends=True):
        if line.lstrip().startswith("#"):
            comments.append(line)
            continue
        if not _CODE.match(line):
            yield from (*comments, line)
        if line.strip() == "deps:":
            yield f"{line[: line.index('d')]}  - {_VERSION}\n"
        comments = []


def _of_cohort(folder: Path, cohort: str) -> tuple[dict[str, str], dict[str, object]]:
    """The cohort's file, beside one to edit the table to fill, and what configs/params.yaml says of it."""
    configs, name = shipped() / "configs", f"cohorts/{cohort}"
    if cohort in shipped_cohorts() - {_TEMPLATE}:
        require_slides(load_cohort(configs, cohort), cohort, "a project that `dvc repro` works on")
        detector = stage_mapping(configs, cohort, "tile")["tissue"]["method"]
        origin = source(Context(cohort, Paths(folder, cohort), configs))
        files = {f"configs/{name}.yaml": _text(configs / f"{name}.yaml")}
    else:
        detector = load_layered(configs, "tile")["tissue"]["method"]
        origin = {"source": "slides.csv", "phantoms": []}
        own = _text(configs / "cohorts" / f"{_TEMPLATE}.yaml").replace(_TEMPLATE, cohort)
        files = {f"configs/{name}.yaml": own, "slides.csv": _filled("slides.csv", cohort)}
    return files, {"cohort": cohort, "detector": detector, **origin}


def _filled(template: str, cohort: str) -> str:
    return Template(_text(Path(__file__).parent / "templates" / template)).substitute(cohort=cohort)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
