"""Waiting for what nothing announces."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def eventually(holds: Callable[[], object], timeout: float = 20) -> bool:
    """Wait until something holds, such as that a process has ended; False where it does not."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not holds():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.001)
    return True
