"""Worker processes that end with the process that started them."""

import os
import threading
from multiprocessing import parent_process


def end_with_parent() -> None:
    """Let this worker end when its parent does, however that ends; for a pool's `initializer`.

    A worker whose parent was killed would wait for its next task for ever, or write beside the next run.
    """
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
