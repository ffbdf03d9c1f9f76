"""Which notebook cell we are in, so that running it again replaces what it made before.

It never imports IPython: where IPython is not loaded, there is no cell.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from types import FrameType
from typing import Protocol, TypeVar

__all__ = ["close_when_run_again", "living", "note", "running_cell"]

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


class Closable(Protocol):
    """Something that a cell makes and that runs until it is closed."""

    def close(self) -> None: ...


_made: dict[tuple[str, int], tuple[int, list[weakref.ref[Closable]]]] = {}
"""What each line of a notebook made, and in which run of its cell."""


def close_when_run_again(made: Closable) -> None:
    """Close what the line of the notebook that we are called from made in an earlier run.

    Dropping the last reference closes a watcher anyway; but a notebook's `Out` keeps references to
    what was shown, and the old watcher would go on delivering beside the new one.
    """
    cell = running_cell()
    if cell is None:
        return
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.stack reads every source file on the way
    while frame is not None and frame.f_globals.get("__name__") != "__main__":
        frame = frame.f_back
    if frame is None:
        return
    line = (frame.f_code.co_filename, frame.f_lineno)
    made_in, references = _made.get(line, (cell, []))
    if made_in != cell:
        for reference in references:
            earlier = reference()
            if earlier is not None:
                earlier.close()
        references = []
    references.append(weakref.ref(made))
    _made[line] = (cell, references)
