"""What MLflow runs to rebuild the registered model; a file of its own, so that importing the class stays free
of side effects."""

import mlflow

from pipeline.tracking.served import PatchModel

mlflow.models.set_model(PatchModel())
