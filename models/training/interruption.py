"""Told to end: finish the step, save, and go.

Only the standard library is imported here: the command line needs to know the exception.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequested(KeyboardInterrupt):
    """The process was told to end, and what it was doing is saved.

    Args:
        number: of the signal.
    """

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that the signal ended."""
        return 128 + int(self.args[0])


class StopRequest:
    """Whether one came.

    Attributes:
        number: of the signal; 0 while none came.
    """

    def __init__(self) -> None:
        self.number = 0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note SIGTERM and Ctrl-C instead of obeying them; a second one is obeyed at once.

    Outside the main thread, where signals cannot be handled, none is ever noted.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        request.number = number
        put_back()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        put_back()
