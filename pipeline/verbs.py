"""The verbs of `evenpatch`: one row each.

The command line and `select` read this table, and nothing else does: a stage that did would be marked
as changed by every new row.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel

from patching.errors import ConfigError
from pipeline.config import CohortFile, cohort_file, suggested
from pipeline.yaml_file import load_yaml


@dataclass(frozen=True)
class Verb:
    """A verb: what it does, whose code does it, and who may start it how."""

    module: str
    """Its stage, with `add_arguments` and `run`, by name: importing them all takes seconds."""
    summary: str
    """Its line of `evenpatch --help`."""
    settings: str | None = None
    """The model that checks configs/<verb>.yaml and the section <verb> of a cohort, by name."""
    needs_section: bool = False
    """Whether dvc.yaml names its section of a cohort's file as a parameter: `dvc repro` stops at one that is
    missing, so that `select` adds it."""
    in_processes: bool = False
    """Whether torchrun may start it in several processes."""
    chooses_cohort: bool = False
    """Whether it says what the cohort is; every other verb works on the one that was chosen."""
    reads: tuple[str, ...] = ()
    """What nobody may write meanwhile: `data/patches` or, of its own run, `outputs/train/{run}`. The files of
    other runs, which are written whole or not at all, are not listed."""
    writes: tuple[str, ...] = ()
    """What it has to itself, in the same words."""
    standalone: bool = False
    """Whether it needs neither cohort nor settings: it has no `--cohort` and no `--root` but its own, and is
    called as `run(options)`."""

    def settings_model(self) -> type[BaseModel]:
        """The model that `settings` names."""
        module, _, name = str(self.settings).rpartition(".")
        found: type[BaseModel] = getattr(import_module(module), name)
        return found


_TRAINED_ON = ("data/patches", "data/splits", "data/attributes")

VERBS = {
    "init": Verb(
        "pipeline.stages.init", "make a project in a folder: settings, slides.csv, dvc.yaml", standalone=True
    ),
    "phantom": Verb(
        "pipeline.stages.phantom",
        "generate a synthetic multimodal cohort",
        "pipeline.stages.phantom.PhantomSettings",
        chooses_cohort=True,
        writes=("data/raw",),
    ),
    "import": Verb(
        "pipeline.stages.import_images",
        "read a published benchmark's images as a cohort, ready to train",
        writes=("data/cohort", *_TRAINED_ON),
    ),
    "assemble": Verb(
        "pipeline.stages.assemble", "rebuild whole slides from the public IDC set's patches", standalone=True
    ),
    "ingest": Verb(
        "pipeline.stages.ingest",
        "check slides.csv and every slide; list what cannot be used, and why",
        "pipeline.stages.ingest.IngestSettings",
        needs_section=True,
        reads=("data/raw",),
        writes=("data/cohort",),
    ),
    "tile": Verb(
        "pipeline.stages.tile",
        "cut slides into patches with tissue fraction and label",
        "pipeline.stages.tile.TileStageSettings",
        needs_section=True,
        reads=("data/raw", "data/cohort"),
        writes=("data/patches",),
    ),
    "statistics": Verb(
        "pipeline.stages.statistics",
        "measure hand-made statistics of every patch",
        "models.data.statistics.settings.StatisticsSettings",
        reads=("data/patches",),
        writes=("data/statistics",),
    ),
    "verify": Verb(
        "pipeline.stages.verify",
        "check that stores, tables and models are whole and agree",
        reads=("data/cohort", *_TRAINED_ON, "data/statistics"),
    ),
    "split": Verb(
        "pipeline.stages.split",
        "split patients into training, validation and test",
        "models.data.splitting.SplitSettings",
        needs_section=True,
        reads=("data/cohort", "data/patches"),
        writes=("data/splits",),
    ),
    "attribute": Verb(
        "pipeline.stages.attribute",
        "binarize the tissue fraction into attribute and group",
        "pipeline.training.thresholds.AttributeSettings",
        needs_section=True,
        reads=("data/patches", "data/splits"),
        writes=("data/attributes",),
    ),
    "shortcuts": Verb(
        "pipeline.stages.shortcuts",
        "tell how far tissue alone, or a linear model, gets; against permuted labels",
        "models.metrics.shortcuts.patches.ShortcutSettings",
        reads=("data/patches", "data/statistics"),
        writes=("outputs/shortcuts",),
    ),
    "train": Verb(
        "pipeline.stages.train",
        "train one algorithm at one threshold",
        "pipeline.training.settings.TrainStage",
        needs_section=True,
        in_processes=True,
        reads=_TRAINED_ON,
        writes=("outputs/train/{run}",),
    ),
    "evaluate": Verb(
        "pipeline.stages.evaluate",
        "predict validation and test patches; metrics per group",
        "pipeline.stages.evaluate.EvaluateSettings",
        needs_section=True,
        reads=(*_TRAINED_ON, "outputs/train/{run}"),
        writes=("outputs/evaluate/{run}",),
    ),
    "intervene": Verb(
        "pipeline.stages.intervene",
        "replace and add tissue in test patches; what models say then",
        "pipeline.intervention.settings.InterveneSettings",
        reads=_TRAINED_ON,
        writes=("outputs/intervene",),
    ),
    "explain": Verb(
        "pipeline.stages.explain",
        "choose test patches for the report: finest pictures, occlusion, Grad-CAM",
        "pipeline.explain.settings.ExplainSettings",
        reads=(*_TRAINED_ON, "data/cohort"),
        writes=("outputs/explain",),
    ),
    "compare": Verb(
        "pipeline.stages.compare",
        "put methods side by side: tables with intervals and differences",
        reads=_TRAINED_ON,
        writes=("outputs/compare",),
    ),
    "report": Verb(
        "pipeline.stages.report",
        "write the offline HTML report",
        "pipeline.report.sources.ReportSettings",
        needs_section=True,
        reads=(
            *_TRAINED_ON,
            "data/cohort",
            "data/statistics",
            "outputs/shortcuts",
            "outputs/intervene",
            "outputs/explain",
        ),
        writes=("outputs/report",),
    ),
    "track": Verb(
        "pipeline.stages.track",
        "log runs and models to MLflow (idempotent)",
        reads=(*_TRAINED_ON, "outputs/shortcuts", "outputs/report"),
        writes=("outputs/track",),
    ),
    "register": Verb(
        "pipeline.stages.register",
        "move the registry alias to the best model that passes the gate",
        "pipeline.deployment.challenger.settings.RegisterSettings",
        reads=(*_TRAINED_ON, "outputs/track"),
        writes=("outputs/register",),
    ),
    "rollback": Verb(
        "pipeline.stages.rollback", "give the registry alias back to the version that held it before"
    ),
    "study": Verb(
        "pipeline.stages.study",
        "repeat the patient-level cross-validation over seeds",
        "pipeline.experiments.study_files.StudySettings",
        reads=("data/patches",),
        writes=("outputs/study",),
    ),
    "tune": Verb(
        "pipeline.stages.tune",
        "search an algorithm's settings on validation patients",
        "pipeline.experiments.search_space.TuneSettings",
        reads=_TRAINED_ON,
        writes=("outputs/tune/{run}",),
    ),
    "sweep": Verb(
        "pipeline.stages.sweep",
        "train along a grid of learning rates; robustness and compressibility",
        "pipeline.stages.sweep.SweepSettings",
        reads=_TRAINED_ON,
        writes=("outputs/sweep/{run}",),
    ),
    "predict": Verb(
        "pipeline.stages.predict",
        "predict tumor on slides that nobody has seen: QuPath, heatmaps, a page",
        standalone=True,
    ),
    "select": Verb(
        "pipeline.stages.select", "choose the cohort that `dvc repro` works on", chooses_cohort=True
    ),
}


def check_sections(configs: Path, cohort: str) -> None:
    """Check that every section of configs/cohorts/<cohort>.yaml is a verb's.

    Raises:
        ConfigError: no such file, or a section of it is nobody's.
    """
    path = cohort_file(configs, cohort)
    known = [*CohortFile.model_fields, *(name for name, verb in VERBS.items() if verb.settings)]
    if unknown := [str(key) for key in load_yaml(path) if key not in known]:
        told = ", ".join(f"{key}{suggested(key, known)}" for key in unknown)
        raise ConfigError(
            has=f"{path} with {told}",
            needs=f"only {', '.join(known)}",
            do="correct or remove the keys named above",
        )
