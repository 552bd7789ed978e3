"""Fixtures of the pipeline's tests."""

import shutil
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import pytest
import yaml
from alembic.config import Config
from alembic.script import ScriptDirectory
from matplotlib.figure import Figure

from pipeline.artifacts import INDEX, SLIDES, Paths
from pipeline.cli import main
from pipeline.config import Context

AMBIENT = {
    "MLFLOW_RUN_ID": "0123456789abcdef0123456789abcdef",
    "MLFLOW_EXPERIMENT_ID": "999",
    "MLFLOW_EXPERIMENT_NAME": "somebody-elses",
    "MLFLOW_ACTIVE_MODEL_ID": "m-0123456789abcdef0123456789abcdef",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
}
"""What somebody else's run, notebook or job may have left in the environment."""


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins without a server: MLflow sets the variables itself, to the store it used last."""
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session", autouse=True)
def read_once() -> Iterator[None]:
    """MLflow's migrations are read, and a page's templates are compiled, once a process.

    Not three times a connection, and once a page: that was most of a connection's time.
    """
    read, compiled = ScriptDirectory.from_config, jinja2.Environment.compile
    directories: dict[str | None, ScriptDirectory] = {}
    templates: dict[tuple[Any, ...], Any] = {}

    def from_config(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in directories:
            directories[place] = read(config)
        return directories[place]

    def compile_(environment: jinja2.Environment, source: str, *names: Any, **more: Any) -> Any:
        key = (source, environment.autoescape, *names, *more.items())
        if key not in templates:
            templates[key] = compiled(environment, source, *names, **more)
        return templates[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", from_config)
        patch.setattr(jinja2.Environment, "compile", compile_)
        yield


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made, but neither laid out nor painted, which takes most of a second each."""
    monkeypatch.setattr(Figure, "savefig", lambda _, target, **__: Path(target).write_bytes(b"\x89PNG"))


@pytest.fixture(scope="session")
def phantom_selected(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """configs/params.yaml with the phantom selected, whatever cohort is being worked on."""
    root = tmp_path_factory.mktemp("selected")
    shutil.copytree(repository / "configs", root / "configs")
    assert main(["select", "--root", str(root), "--cohort", "phantom"]) == 0
    return (root / "configs" / "params.yaml").read_bytes()


@pytest.fixture
def small_cohort(tmp_path: Path, repository: Path) -> Paths:
    """What ingest and tile write, of 24 patients with a slide each; patient 003 is fixed to test.

    Tables only, no slides and no stores: enough for the stages between tiling and training.
    """
    return _write_tables(tmp_path, repository)


def _write_tables(root: Path, repository: Path) -> Paths:
    paths = Paths(root, "small")
    configs = root / "configs"
    shutil.copytree(repository / "configs" / "algorithms", configs / "algorithms")
    for path in (repository / "configs").glob("*.yaml"):
        shutil.copy(path, configs)
    sections = (
        "ingest",
        "tile",
        "split",
        "attribute",
        "train",
        "algorithms",
        "evaluate",
        "report",
        "register",
    )
    cohort = {"manifest": "slides.csv", "description": "A small cohort."} | {name: {} for name in sections}
    (configs / "cohorts").mkdir()
    (configs / "cohorts" / "small.yaml").write_text(yaml.safe_dump(cohort))
    slides = pd.DataFrame({"slide_id": [f"s{p}" for p in range(24)]}).reindex(columns=list(SLIDES))
    slides["patient_id"] = [f"{p:03}" for p in range(24)]
    slides["split"] = ["test" if p == 3 else None for p in range(24)]
    paths.ingested.mkdir(parents=True)
    slides.to_csv(paths.slides, index=False)
    paths.patches.mkdir(parents=True)
    index = pd.concat([_patches(p) for p in range(24)], ignore_index=True)
    index[list(INDEX)].to_parquet(paths.index, index=False)
    return paths


def _patches(p: int) -> pd.DataFrame:
    """Patches of one patient: more tumor means more tissue, as in the paper."""
    rng = np.random.default_rng(p)
    n = int(rng.integers(20, 60))
    label = (rng.random(n) < 0.2 + 0.6 * rng.random()).astype(int)
    return pd.DataFrame(
        {
            "patch_id": [f"s{p}@{256 * i}_0" for i in range(n)],
            "slide_id": f"s{p}",
            "patient_id": f"{p:03}",
            "store_row": np.arange(n),
            "x": 256 * np.arange(n),
            "y": 0,
            "extent": 256,
            "tissue_fraction": rng.beta(2 + 2 * label, 4 - 2 * label),
            "tissue_area_um2": 1.0,
            "covered_fraction": 1.0,
            "tumor_fraction": label.astype(float),
            "label": label,
        }
    )


@pytest.fixture(scope="session")
def trainable_template(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """Root of the small cohort with splits, attributes and patches; to be copied."""
    from pipeline.stages import attribute, split

    paths = _write_tables(tmp_path_factory.mktemp("trainable"), repository)
    context = Context("small", paths, paths.root / "configs")
    split.run(context, Namespace(fold=None))
    attribute.run(context, Namespace())
    for slide_id, rows in pd.read_parquet(paths.index).groupby("slide_id"):
        _write_store(paths.store(str(slide_id)), rows)
    return paths.root


@pytest.fixture
def trainable_cohort(tmp_path: Path, trainable_template: Path) -> Context:
    """A cohort ready for training: label is a stripe pattern, tissue is brightness."""
    shutil.copytree(trainable_template, tmp_path, dirs_exist_ok=True)
    return Context("small", Paths(tmp_path, "small"), tmp_path / "configs")


def _write_store(path: Path, rows: pd.DataFrame) -> None:
    from patching.store.reading import PatchTable, StoreAttributes
    from patching.store.writing import write_store

    n = len(rows)
    images_NHWC = np.random.default_rng(n).normal(200, 20, (n, 32, 32, 2))
    images_NHWC += 600 * rows["tissue_fraction"].to_numpy()[:, None, None, None]
    images_NHWC[:, ::2] += 100 * rows["label"].to_numpy()[:, None, None, None]
    attributes = StoreAttributes(
        slide_id=path.stem,
        fingerprint="0" * 64,
        spec={"size": 32, "downsample": 8},
        extent=256,
        stride=256,
        downsample=8.0,
        mpp=4.0,
        slide_mpp=(0.5, 0.5),
        slide_size=(256 * n, 256),
        channels=("CARS", "SHG"),
        dtype="uint16",
        brightfield=False,
        tissue_downsample=8.0,
        dropped={},
    )
    table = PatchTable(
        rows[["x", "y"]].to_numpy(np.int64),
        rows["tissue_fraction"].to_numpy(np.float64),
        rows["tumor_fraction"].to_numpy(np.float64),
        rows["label"].to_numpy(np.int8),
        np.ones(len(rows)),
    )
    write_store(path, attributes, table, np.ones((32, 32 * n), bool), images_NHWC.astype(np.uint16))


@pytest.fixture(scope="session")
def finished_cohort(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Context:
    """A toy cohort with eight trainings and their evaluations; to be read only."""
    # Imported here: torch takes seconds, and most tests of this room do without it.
    from tests.pipeline.finished import write_cohort

    description = "A toy <script>alert(2)</script> cohort."
    return write_cohort(tmp_path_factory.mktemp("finished"), repository, description)


@pytest.fixture(scope="session")
def sources(finished_cohort: Context) -> Any:
    """What its report is made of."""
    from tests.pipeline.reports import sources_of

    return sources_of(finished_cohort)


@pytest.fixture(scope="session")
def page(finished_cohort: Context) -> str:
    """Its report; what lies beside it is there, too."""
    from pipeline.stages import report

    report.run(finished_cohort, Namespace())
    return finished_cohort.paths.report.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def explained_cohort(finished_cohort: Context, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The finished cohort after the explain stage; its slides are nowhere. To be read only."""
    from pipeline.stages import explain

    root = tmp_path_factory.mktemp("explained")
    shutil.copytree(finished_cohort.paths.root, root, dirs_exist_ok=True)
    context = Context(finished_cohort.cohort, Paths(root, finished_cohort.cohort), root / "configs")
    explain.run(context, Namespace())
    return context


@pytest.fixture(scope="session")
def tracked_cohort(finished_cohort: Context, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Three of its trainings with the report, logged to a store of their own."""
    from pipeline.stages import track

    root = tmp_path_factory.mktemp("tracked")
    shutil.copytree(finished_cohort.paths.root, root, dirs_exist_ok=True)
    context = Context(finished_cohort.cohort, Paths(root, finished_cohort.cohort), root / "configs")
    for folder in context.paths.evaluation("any").parent.iterdir():
        if folder.name not in ("erm-low", "gerne-low", "gerne-high"):
            shutil.rmtree(folder)
    context.paths.report.parent.mkdir(parents=True, exist_ok=True)
    context.paths.report.write_text("<p>A report.</p>")
    for card in context.paths.cards:
        card.write_text(f"# {card.stem}")
    (context.paths.report_exports / "slides").mkdir(parents=True)
    (context.paths.report_exports / "metrics.json").write_text('{"model": {"run": "gerne-low"}}')
    (context.paths.report_exports / "slides" / "s.geojson.gz").write_bytes(b"tiles")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for variable, value in AMBIENT.items():
            patch.setenv(variable, value)
        track.run(context, Namespace())
    return context
