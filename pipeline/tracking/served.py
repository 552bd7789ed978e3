"""The registered model: patches in, probability of tumor out.

Input is a table with one binary column `patch`; every cell is one patch [H, W, C] in the raw dtype of
the slides, in NumPy's .npy format. Over HTTP such a table goes as `dataframe_split` with base64 cells.
Nothing here unpickles, and a patch is allocated only after its header has been checked.
"""

import io
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.networks.card import ModelCard
from models.networks.checkpoint import load_classifier

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.binary, "patch")]),
    outputs=Schema([ColSpec(DataType.double, "probability"), ColSpec(DataType.long, "prediction")]),
)
REQUIREMENTS = ("mlflow", "monai", "numpy", "pandas", "pydantic", "safetensors", "torch")
"""Third-party packages the model imports; evenpatch's own code travels with the model."""
# numpy evaluates the header as a literal and, failing that, tokenizes it as Python 2 wrote it.
_UNREADABLE = (ValueError, EOFError, SyntaxError, TypeError, RecursionError, TokenError)


class PatchModel(PythonModel):
    """A classifier behind MLflow's pyfunc interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights (safetensors) and their card (JSON)."""
        self._classifier, self._card = load_classifier(Path(context.artifacts["weights"]).parent)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Columns `probability` and `prediction` (0, 1, ...), one row per patch.

        The probability is that of class 1 (tumor); with more than two classes, that of the predicted one.

        Raises:
            MlflowException: a cell is not a patch the model can take; a server answers with status 400.
        """
        shape, dtype = patch_form(self._card)
        patches = [decode_patch(cell, shape, dtype) for cell in model_input["patch"]]
        if not patches:
            return _table(np.empty((0, len(self._card.classes)), np.float32))
        return _table(self._classifier.predict_proba(np.stack(patches)))


def patch_form(card: ModelCard) -> tuple[tuple[int, int, int], np.dtype[Any]]:
    """Shape (H, W, C) and dtype of the raw patches of a model."""
    side = int(card.patch["size"])
    return (side, side, len(card.channels)), np.dtype(card.dtype)


def encode_patch(patch_HWC: NDArray[Any]) -> bytes:
    """One patch in .npy format, what a cell of the model's input holds."""
    buffer = io.BytesIO()
    np.save(buffer, patch_HWC, allow_pickle=False)
    return buffer.getvalue()


def decode_patch(cell: object, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read one cell; shape, dtype and length are checked against the model before anything is allocated.

    Raises:
        MlflowException: INVALID_PARAMETER_VALUE, says what it has and what it needs.
    """
    wanted = f"one patch of shape {shape} (H, W, C) and dtype {dtype}, written by numpy.save"
    if not isinstance(cell, bytes | bytearray):
        raise _refused(f"a {type(cell).__name__}", wanted)
    stream = io.BytesIO(cell)
    try:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        found_shape, _, found_dtype = read_header(stream)
    except _UNREADABLE as error:
        raise _refused(f"{len(cell)} bytes that are no .npy file ({error})", wanted) from error
    if found_shape != shape or found_dtype != dtype:
        raise _refused(f"shape {found_shape} and dtype {found_dtype}", wanted)
    expected = stream.tell() + int(np.prod(shape)) * dtype.itemsize
    if len(cell) != expected:
        raise _refused(f"{len(cell)} bytes", f"{expected} bytes: {wanted}")
    stream.seek(0)
    patch_HWC: NDArray[Any] = np.load(stream, allow_pickle=False)
    return patch_HWC


def _refused(has: str, needs: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(
        f"has: a cell of column 'patch' with {has}\nneeds: {needs}\n"
        "do: write every patch with pipeline.tracking.served.encode_patch, or numpy.save into a buffer"
    )


def _table(probability_NK: NDArray[np.float32]) -> pd.DataFrame:
    two = probability_NK.shape[1] == 2
    return pd.DataFrame(
        {
            "probability": (probability_NK[:, 1] if two else probability_NK.max(axis=1)).astype(np.float64),
            "prediction": probability_NK.argmax(axis=1).astype(np.int64),
        }
    )
