"""The patch index held against the stores that it was made from."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patching.errors import ArtifactError
from patching.store.reading import PatchStore
from pipeline.artifacts import Paths
from pipeline.cohort.index import patch_index
from pipeline.patch_tables import read_index

_EXACT = 1e-9
"""Relative; products may differ in their last bits between processors."""


def index_problems(paths: Paths, patient_of: Mapping[str, str], *, imported: bool) -> Iterator[str]:
    """What the index tells otherwise than the stores.

    Args:
        paths: of the cohort.
        patient_of: the patient of each slide that has a store, by slide_id.
        imported: whether the stores hold published images, each of which is a patient of its own.

    Raises:
        StoreError: a store is missing or damaged.
    """
    try:
        index = read_index(paths)
    except ArtifactError as error:
        yield f"{error.has}; {error.do}"
        return
    stores = [PatchStore.open(paths.store(slide_id)) for slide_id in patient_of]
    expected = patch_index(stores, list(patient_of.values()))
    if imported:
        expected = expected.drop(columns="patient_id")
    for problem in _differences(index.set_index("patch_id"), expected.set_index("patch_id")):
        yield f"{paths.index}: {problem}; run `evenpatch tile` again"


def _differences(index: pd.DataFrame, expected: pd.DataFrame) -> Iterator[str]:
    for words, names in (
        ("that no store has", index.index.difference(expected.index)),
        ("of a store are missing", expected.index.difference(index.index)),
    ):
        if len(names):
            yield f"{len(names)} patches {words}, as {names[0]}"
    shared = expected.index.intersection(index.index)
    index, expected = index.loc[shared], expected.loc[shared]
    for name in expected:
        if name not in index:
            yield f"no column {name}"
            continue
        wrong_N = ~_equal(index[name], expected[name])
        if wrong_N.any():
            count = int(wrong_N.sum())
            yield f"another {name} than in the stores of {count} patches, as {shared[wrong_N][0]}"


def _equal(found: pd.Series, expected: pd.Series) -> NDArray[np.bool_]:
    if not pd.api.types.is_numeric_dtype(found) or not pd.api.types.is_numeric_dtype(expected):
        return (found.astype("str") == expected.astype("str")).to_numpy(np.bool_)
    found_N, expected_N = found.to_numpy(np.float64), expected.to_numpy(np.float64)
    equal_N: NDArray[np.bool_] = np.isclose(found_N, expected_N, rtol=_EXACT, atol=0, equal_nan=True)
    return equal_N
