"""What evenpatch ships: settings that a project's own files overlay, and the files of a new project.

An installed wheel holds them inside the package; in a checkout they lie beside the packages.
"""

from pathlib import Path
from typing import Any

from patching.errors import ConfigError


def shipped() -> Path:
    """The folder with evenpatch's own configs/ and dvc.yaml; there is none beside a served model's code."""
    package = Path(__file__).parent
    installed = package / "shipped"
    return installed if installed.is_dir() else package.parent


def shipped_cohorts() -> frozenset[str]:
    """Names of the cohorts that evenpatch ships; in a checkout others' files may lie beside theirs."""
    folder = shipped() / "configs" / "cohorts"
    listed = folder / "shipped.txt"
    return frozenset(listed.read_text(encoding="utf-8").split()) if listed.is_file() else _known(folder)


def files_of(configs: Path, name: str) -> list[Path]:
    """Files of that name, what evenpatch ships first and the project's own over it; none where nobody has it.

    Args:
        configs: the project's folder of settings. That of a checkout is what evenpatch ships.
        name: without suffix, as `tile` or `algorithms/gerne`.
    """
    return [path for path in _places(configs, name) if path.is_file()]


def layers(configs: Path, name: str) -> list[Path]:
    """As `files_of`, and at least one.

    Raises:
        ConfigError: neither evenpatch nor the project has it.
    """
    if files := files_of(configs, name):
        return files
    own, ships = configs / f"{name}.yaml", shipped() / "configs" / f"{name}.yaml"
    needs = f"one of those in {own.parent}: {_told(_known(own.parent))}"
    if own.resolve() != ships.resolve():
        known = _known(ships.parent) & shipped_cohorts() if _is_cohort(name) else _known(ships.parent)
        needs += f"; or of those that evenpatch ships: {_told(known)}"
    raise ConfigError(has=f"no file {own}", needs=needs, do="check the name, or write the file")


def merged(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Overlay a mapping on another; nested mappings merge, everything else replaces."""
    result = dict(base)
    for key, value in overlay.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def params_file(configs: Path) -> Path:
    """The project's choice of cohort, algorithms and thresholds: DVC reads it too, so that nothing stands in.

    Raises:
        ConfigError: there is none, so that this is no project.
    """
    path = configs / "params.yaml"
    if path.is_file():
        return path
    raise ConfigError(
        has=f"no file {path}",
        needs="a project's folder, which has one",
        do="change to it or name it with --root; `evenpatch init FOLDER` makes a new one",
    )


def _places(configs: Path, name: str) -> list[Path]:
    own, default = configs / f"{name}.yaml", shipped() / "configs" / f"{name}.yaml"
    others = _is_cohort(name) and default.stem not in shipped_cohorts()
    return [own] if others or own.resolve() == default.resolve() else [default, own]


def _is_cohort(name: str) -> bool:
    return name.startswith("cohorts/")


def _known(folder: Path) -> frozenset[str]:
    return frozenset(path.stem for path in folder.glob("*.yaml"))


def _told(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
