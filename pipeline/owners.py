"""Who owns which settings: the model that checks each configs/<stage>.yaml and its section of a cohort."""

from importlib import import_module

from pydantic import BaseModel

OWNERS = {
    "phantom": "pipeline.phantom.PhantomSettings",
    "ingest": "pipeline.ingest.IngestSettings",
    "tile": "pipeline.tile.TileStageSettings",
    "split": "models.splitting.SplitSettings",
    "attribute": "pipeline.thresholds.AttributeSettings",
    "train": "pipeline.training.TrainStage",
    "evaluate": "pipeline.evaluate.EvaluateSettings",
    "report": "pipeline.panels.base.ReportSettings",
    "register": "pipeline.register.RegisterSettings",
    "study": "pipeline.study_summary.StudySettings",
    "tune": "pipeline.search_space.TuneSettings",
    "sweep": "pipeline.sweep.SweepSettings",
}
"""Stage to settings model, by name: importing them all takes seconds."""


def owner(stage: str) -> type[BaseModel]:
    """The settings model of a stage."""
    module, _, name = OWNERS[stage].rpartition(".")
    found: type[BaseModel] = getattr(import_module(module), name)
    return found
