"""Which notebook cell we are in: so running a cell again can replace what it made before.

It never imports IPython: where IPython is not loaded, there is no cell.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

__all__ = ["living", "note", "running_cell", "when_run_again"]

T = TypeVar("T")

_noted: weakref.WeakValueDictionary[int, object] = weakref.WeakValueDictionary()
_numbers = itertools.count()


def note(made: object) -> None:
    """Take note of something that was made, without keeping it alive."""
    _noted[next(_numbers)] = made


def living(kind: type[T]) -> list[T]:
    """Give what was noted, is of this kind, and still referred to by somebody; the oldest first."""
    found = [reference() for reference in _noted.valuerefs()]
    return [each for each in found if isinstance(each, kind)]


def running_cell() -> int | None:
    """Give the execution count of the IPython cell that runs now; None outside of IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return None if shell is None else int(shell.execution_count)


_made: dict[tuple[str, int], tuple[int, list[weakref.WeakMethod[Callable[[], object]]]]] = {}
"""How what each line of a notebook made is ended, and in which run of its cell it was made."""

CO_NEWLOCALS = 0x2
"""As `inspect` has it: whether code has variables of its own, as a function's, and a cell's not."""


def when_run_again(end: Callable[[], object]) -> None:
    """Have `end`, a method, called when the notebook's line that we are called from runs again.

    Dropping the last reference closes a watcher anyway; but a notebook's `Out` keeps references to
    what was shown, and the old watcher would go on delivering beside the new one.

    The line is the cell's own: what one cell's call of a function makes stays when another cell
    calls it, too.
    """
    cell = running_cell()
    if cell is None:
        return
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.stack reads every source file on the way
    while frame is not None and not _is_of_a_cell(frame):
        frame = frame.f_back
    if frame is None:
        return
    line = (frame.f_code.co_filename, frame.f_lineno)
    made_in, ends = _made.get(line, (cell, []))
    if made_in != cell:
        for each in ends:
            earlier = each()
            if earlier is not None:
                earlier()
        ends = []
    ends.append(weakref.WeakMethod(end))
    _made[line] = (cell, ends)


def _is_of_a_cell(frame: FrameType) -> bool:
    return (
        frame.f_globals.get("__name__") == "__main__" and not frame.f_code.co_flags & CO_NEWLOCALS
    )
