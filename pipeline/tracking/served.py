"""The registered model: patches in, probability of tumor out, and where it is not to be trusted.

Input is a table. Every cell of its binary column `patch` is one patch [H, W, C] in the raw dtype of the
slides, as the bytes of a .npy file or of a picture (pipeline.tracking.cells); over HTTP such a table goes as
`dataframe_split` with base64 cells. By a column `tissue_fraction` beside it, weak groups are told. A model
whose decision needs it refuses a patch without: nothing else takes its place.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema
from numpy.typing import NDArray

from models.networks.card import DecisionCard, ModelCard
from models.networks.checkpoint import load_classifier
from models.networks.decision import needs_tissue, verdicts
from models.networks.evidence import load_evidence
from models.networks.reliability import notes
from patching.errors import PatchError
from patching.survey.quality import full_scale, measure_quality, quality_names
from pipeline.tracking.cells import PatchForm, decode_patch

SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            ColSpec(DataType.binary, "patch"),
            ColSpec(DataType.double, "tissue_fraction", required=False),
        ]
    ),
    outputs=Schema(
        [
            ColSpec(DataType.double, "probability"),
            ColSpec(DataType.long, "prediction"),
            ColSpec(DataType.string, "class"),
            ColSpec(DataType.string, "note"),
        ]
    ),
)
"""Of every model. Where a decision needs the tissue fraction, this module asks for it: MLflow would refuse
the table without a reason, and cannot ask for a value in every row."""


def columns_of(decision: DecisionCard) -> dict[str, str]:
    """What the columns of a model hold, in words; a signature has no place for them."""
    tissue = (
        "in, needed of every patch: share of tissue, 0 to 1, as the model's own detector finds it on the "
        "slide; the model decides by it"
        if needs_tissue(decision)
        else "in, may be left out: share of tissue, 0 to 1; by it weak groups are told"
    )
    return {
        "patch": "in: one raw patch (H, W, C), as the bytes of .npy (numpy.save), PNG or TIFF; base64 in "
        "JSON",
        "tissue_fraction": tissue,
        "probability": "out: of the last class, by the model's decision; with more than two classes, of the "
        "predicted one",
        "prediction": "out: number of the class",
        "class": "out: its name",
        "note": "out: why the verdict is not to be trusted; empty where nothing speaks against it",
    }


class PatchModel(PythonModel):
    """A classifier behind MLflow's pyfunc interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights (safetensors), their card and the evidence (JSON)."""
        folder = Path(context.artifacts["weights"]).parent
        self._classifier, self._card = load_classifier(folder)
        self._evidence = load_evidence(folder, self._card)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row per patch: `probability`, `prediction` (0, 1, ...), `class` (its name) and `note`.

        The probability is that of class 1 (tumor) by the model's decision, and the class is 1 where it
        exceeds the decision's threshold; with more than two classes, it is that of the predicted one. A note
        is empty where there is nothing to tell (models.networks.reliability).

        Raises:
            MlflowException: a cell is not a patch the model can take, or no tissue fraction, or the decision
                needs one and there is none; names the row. A server answers with status 400.
        """
        tissue_fraction_N = _tissue_fractions(model_input, self._card.decision)
        patches_NHWC = _patches(model_input["patch"], raw_form(self._card))
        probability_NK = (
            self._classifier.predict_proba(patches_NHWC)
            if len(patches_NHWC)
            else np.empty((0, len(self._card.classes)), np.float32)
        )
        probability_N, prediction_N = verdicts(self._card.decision, probability_NK, tissue_fraction_N)
        told_N = notes(
            self._card,
            self._evidence,
            prediction_N,
            tissue_fraction_N=tissue_fraction_N,
            quality=_quality(patches_NHWC, self._card),
        )
        return pd.DataFrame(
            {
                "probability": probability_N,
                "prediction": prediction_N,
                "class": [self._card.classes[k] for k in prediction_N],
                "note": told_N.tolist(),
            }
        )


def patch_form(card: ModelCard) -> tuple[tuple[int, int, int], np.dtype[Any]]:
    """Shape (H, W, C) and dtype of the raw patches of a model."""
    side = int(card.patch["size"])
    return (side, side, len(card.channels)), np.dtype(card.dtype)


def raw_form(card: ModelCard) -> PatchForm:
    """What a cell must hold."""
    shape, dtype = patch_form(card)
    return PatchForm(shape, dtype, lossy=card.brightfield and dtype == np.uint8)


def _patches(cells: pd.Series, form: PatchForm) -> NDArray[Any]:
    patches_NHWC = np.empty((len(cells), *form.shape), form.dtype)
    for row, cell in enumerate(cells):
        try:
            patches_NHWC[row] = decode_patch(cell, form)
        except PatchError as error:
            raise _refused(row, "patch", error.has, error.needs, error.do) from error
    return patches_NHWC


def _tissue_fractions(table: pd.DataFrame, decision: DecisionCard) -> NDArray[np.float64]:
    """Of every row, NaN where it is not known and not needed."""
    fraction_N = np.full(len(table), np.nan)
    if "tissue_fraction" in table:
        fraction_N = table["tissue_fraction"].to_numpy(np.float64, na_value=np.nan)
    missing = np.flatnonzero(np.isnan(fraction_N))
    if missing.size and needs_tissue(decision):
        needs = (
            f"a number from 0 to 1: the model decides by the rule {decision.rule}, and a patch alone does "
            "not tell how much of it is tissue; the detector needs the slide"
        )
        do = "give what the card's tissue detector finds, or predict whole slides with `evenpatch predict`"
        raise _refused(int(missing[0]), "tissue_fraction", "nothing", needs, do)
    wrong = np.flatnonzero((fraction_N < 0) | (fraction_N > 1))
    if wrong.size:
        has = f"{fraction_N[wrong[0]]:g}"
        do = "give the share of the patch that the card's tissue detector finds"
        do += "" if needs_tissue(decision) else ", or leave the cell empty"
        raise _refused(int(wrong[0]), "tissue_fraction", has, "a number from 0 to 1", do)
    return fraction_N


def _quality(patches_NHWC: NDArray[Any], card: ModelCard) -> dict[str, NDArray[np.float64]]:
    """Columns of patching.survey.quality, measured as tiling measures them."""
    names = quality_names(card.channels)
    maximum = card.white or full_scale(patches_NHWC.dtype)
    measured_NQ = np.empty((len(patches_NHWC), len(names)))
    for row, patch_HWC in enumerate(patches_NHWC):
        measured_NQ[row] = measure_quality(patch_HWC, brightfield=card.brightfield, detector_maximum=maximum)
    return dict(zip(names, measured_NQ.T, strict=True))


def _refused(row: int, column: str, has: str, needs: str, do: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(
        f"row {row} (the first is 0), column {column!r}\nhas: {has}\nneeds: {needs}\ndo: {do}"
    )
