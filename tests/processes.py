"""Finding what was started, by whomever."""

from __future__ import annotations

import contextlib

import psutil


def processes_with(variable: str, value: str) -> list[psutil.Process]:
    """Give the processes that were started with this in their environment, by whomever."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(variable) == value:
                found.append(process)
    return found
