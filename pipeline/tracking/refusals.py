"""What MLflow refuses, as errors of ours: with advice that fits the refusal."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.util import CommandError
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from patching.disk_space import full_disk
from patching.errors import RegistryError

MISSING = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
"""A missing alias or a deleted run is the first, a missing version, model or run the second; all else is a
store that fails."""
_SECRET = re.compile(r"(?<=[^/]//)[^/\s]*@")

_NO_ANSWER = (
    "a tracking store that answers",
    "check MLFLOW_TRACKING_URI and the server, or unset it to use the local SQLite file",
)
_DATABASE = (
    "a database that can be read and written, of the installed MLflow's version or an older one",
    "bring it back from a backup, or set it aside and run `evenpatch track`, which logs all anew",
)
_NEEDS_AND_DO = {
    "RESOURCE_DOES_NOT_EXIST": (
        "runs and versions that are there: these were deleted, or the store is another one or was begun anew",
        "run `evenpatch track` again: it logs what is not there; or bring the right store's database back",
    ),
    "INVALID_PARAMETER_VALUE": (
        "names and values that MLflow takes",
        "change what it names; a cohort's name becomes that of its experiment and model",
    ),
    "RESOURCE_ALREADY_EXISTS": (
        "a name that nothing else in MLflow has",
        "rename or delete what has the name, or rename the cohort",
    ),
    **dict.fromkeys(
        ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"),
        (
            "an account that may read and write there",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        ),
    ),
}


def without_secrets(text: str) -> str:
    """Text with addresses in it, without their users and passwords.

    >>> without_secrets("no answer of https://me:word@server/api")
    'no answer of https://server/api'
    """
    return _SECRET.sub("", text)


@contextmanager
def reporting(uri: str) -> Iterator[None]:
    """Turn refusals of MLflow, and of the database under it, into a `RegistryError`."""
    try:
        yield
    except MlflowException as error:
        needs, do = _NEEDS_AND_DO.get(error.error_code, _NO_ANSWER)
        if isinstance(error.__cause__, SQLAlchemyError):
            needs, do = _DATABASE
        raise _refused(uri, error.message, needs, do) from error
    except (SQLAlchemyError, CommandError, sqlite3.Error) as error:
        raise _refused(uri, f"{getattr(error, 'orig', None) or error}", *_DATABASE) from error
    except ImportError as error:
        raise _refused(
            uri,
            f"{error}",
            "the package that speaks to such a store",
            "install it in this environment, or have MLFLOW_TRACKING_URI name an MLflow server",
        ) from error


@contextmanager
def reading(uri: str, what: str) -> Iterator[None]:
    """Turn what keeps the store's files from being read into a `RegistryError`; not so a full disk."""
    try:
        with reporting(uri):
            yield
    except OSError as error:
        if full_disk(error, Path()) is not error:
            raise
        raise RegistryError(
            has=without_secrets(f"{what} in {uri}: {error}"),
            needs="files that can be read",
            do="look for them in the store (mlartifacts/ of a local one), or track the training again",
        ) from error


def _refused(uri: str, told: str, needs: str, do: str) -> RegistryError:
    # A failing statement is told with all its parameters, over many lines.
    first = told.strip().partition("\n")[0]
    return RegistryError(has=without_secrets(f"MLflow at {uri}: {first}"), needs=needs, do=do)
