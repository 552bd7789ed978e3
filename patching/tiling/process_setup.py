"""What a process that tiles slides sets once: threads of libraries, memory, and garbage collection."""

import ctypes
import gc

import cv2
import threadpoolctl

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def prepare_process(threads: int = 1) -> None:
    """Let libraries use as few threads as the work has, and keep what will be used again.

    Args:
        threads: for OpenCV; linear algebra, which is tiny here, gets one.
    """
    cv2.setNumThreads(threads)
    threadpoolctl.threadpool_limits(1)
    keep_freed_memory()


def prepare_worker() -> None:
    """The same for a process that does nothing else."""
    prepare_process()
    # The modules' own objects live as long as the process: no collection has to look at them again.
    gc.collect()
    gc.freeze()


def keep_freed_memory() -> None:
    """Let glibc hold up to 128 MiB that are free, or every picture and buffer comes as new pages.

    By default it learns that bit by bit; dask starts its workers with 64 KiB
    (`MALLOC_TRIM_THRESHOLD_`), which took a fifth of their time.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_TRIM_THRESHOLD, 128 * 2**20)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the most there is; larger pieces are always new pages
