"""Which settings the archives hold: of a checkout's cohorts those that evenpatch ships, not its user's."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACES = {"wheel": Path("pipeline/shipped/configs"), "sdist": Path("configs")}


class ShippedSettings(BuildHookInterface):  # type: ignore[type-arg]
    """Adds configs/, in which configs/cohorts/shipped.txt names the cohorts."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name every file and where it goes (pipeline/defaults.py finds them in a wheel)."""
        configs = Path(self.root, "configs")
        cohorts, listed = configs / "cohorts", configs / "cohorts" / "shipped.txt"
        shipped = {listed, *(cohorts / f"{name}.yaml" for name in listed.read_text("utf-8").split())}
        for path in sorted(configs.rglob("*")):
            if path.is_file() and (path.parent != cohorts or path in shipped):
                target = PLACES[self.target_name] / path.relative_to(configs)
                build_data["force_include"][str(path)] = target.as_posix()
