"""MONAI is imported without what networks do not need."""

import subprocess
import sys
import threading

import pytest

from models.networks.lean import lean_monai

_CHILD = """
import sys
from models.networks.backbones.registry import BACKBONES, make_backbone
from models.networks.lean import lean_monai
with lean_monai():
    for name in BACKBONES:
        make_backbone(name, 1, 2)
beside = ("mlflow", "matplotlib", "optuna", "scipy", "skimage", "sklearn")
print([name for name in beside if name in sys.modules])
import scipy.special
"""


def test_every_backbone_is_made_without_what_monai_looks_for_beside_itself() -> None:
    made = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    assert made.stdout == "[]\n"


def test_only_the_thread_that_asked_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "optuna", raising=False)
    found: list[str] = []

    def look() -> None:
        found.extend(
            finder.__class__.__name__ for finder in sys.meta_path if finder.find_spec("optuna", None)
        )

    with lean_monai():
        with pytest.raises(ModuleNotFoundError, match="not looked for"):
            look()
        other = threading.Thread(target=look)
        other.start()
        other.join()
    assert found
    look()
