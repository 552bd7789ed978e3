"""The progress bar of a training."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def training_progress(*, quiet: bool) -> Progress:
    """Steps done, time left and the last validation's figures; nothing where `quiet`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    figures = TextColumn("{task.fields[figures]}")
    return Progress(*columns, figures, console=Console(stderr=True), disable=quiet)
