"""The progress bar of the benches, on stderr: stdout is for figures."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn


def progress_bar(*more: ProgressColumn) -> Progress:
    """What is done, how far, for how long; and ``more`` columns behind."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, *more, console=Console(stderr=True), transient=True)
