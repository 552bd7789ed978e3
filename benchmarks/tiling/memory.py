"""Memory of a process and its children, sampled while it works; sampling costs a tenth of a core."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

_INTERVAL = 0.05


@contextmanager
def peak_memory(pid: int, *, watched: bool) -> Iterator[list[int]]:
    """Largest sum of resident memory of a process and its children; shared pages count in each."""
    peak, done = [0], threading.Event()
    if not watched:
        yield peak
        return

    def watch() -> None:
        while not done.wait(_INTERVAL):
            peak[0] = max(peak[0], _tree_bytes(pid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _tree_bytes(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):  # one may end between being listed and being asked
        main = psutil.Process(pid)
        for process in (main, *main.children(recursive=True)):
            total += process.memory_info().rss
    return total
