"""Who owns which settings: the model that checks each configs/<stage>.yaml and its section of a cohort."""

from importlib import import_module

from pydantic import BaseModel

OWNERS = {
    "phantom": "pipeline.stages.phantom.PhantomSettings",
    "ingest": "pipeline.stages.ingest.IngestSettings",
    "tile": "pipeline.stages.tile.TileStageSettings",
    "split": "models.data.splitting.SplitSettings",
    "attribute": "pipeline.training.thresholds.AttributeSettings",
    "train": "pipeline.training.settings.TrainStage",
    "evaluate": "pipeline.stages.evaluate.EvaluateSettings",
    "report": "pipeline.report.sources.ReportSettings",
    "register": "pipeline.tracking.gate.RegisterSettings",
    "study": "pipeline.experiments.study_files.StudySettings",
    "tune": "pipeline.experiments.search_space.TuneSettings",
    "sweep": "pipeline.stages.sweep.SweepSettings",
}
"""Stage to settings model, by name: importing them all takes seconds."""


def owner(stage: str) -> type[BaseModel]:
    """The settings model of a stage."""
    module, _, name = OWNERS[stage].rpartition(".")
    found: type[BaseModel] = getattr(import_module(module), name)
    return found
