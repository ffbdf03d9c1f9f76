"""Functions put in front of other objects' methods, and taken away again without a trace."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from types import CellType
from typing import Any

__all__ = ["Detours"]


class Detours:
    """Knows in front of which methods something was put. Not locked."""

    def __init__(self) -> None:
        self._put: list[tuple[weakref.ref[Any], str]] = []

    def put(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Put `make(method)` in front of a method, unless there is one of ours already.

        While a cell runs, IPython has its own function in front of the streams' `write`, and puts
        back what it found there when the cell ends: so ours goes in front of that, too.
        """
        if owner is None:
            return
        method = getattr(owner, name)
        if hasattr(method, "beneath"):
            return
        found = _found_by_ipython(method)
        if found is not None and not hasattr(found.cell_contents, "beneath"):
            found.cell_contents = _in_front_of(found.cell_contents, make)
        setattr(owner, name, _in_front_of(method, make))
        self._put = [each for each in self._put if each[0]() is not None]
        if (weakref.ref(owner), name) not in self._put:
            self._put.append((weakref.ref(owner), name))

    def remove_all(self) -> None:
        """Take ours away, and leave what others have put there since."""
        while self._put:
            reference, name = self._put.pop()
            owner = reference()
            if owner is None:
                continue
            method = _without_ours(getattr(owner, name))
            found = _found_by_ipython(method)
            if found is not None:
                found.cell_contents = _without_ours(found.cell_contents)
            setattr(owner, name, method)
            if not isinstance(owner, type) and method == getattr(type(owner), name).__get__(owner):
                with contextlib.suppress(AttributeError):
                    delattr(owner, name)


def _in_front_of(method: Any, make: Callable[[Any], Any]) -> Any:
    made = make(method)
    made.beneath = method
    return made


def _without_ours(method: Any) -> Any:
    while hasattr(method, "beneath"):
        method = method.beneath
    return method


def _found_by_ipython(method: Any) -> CellType | None:
    """Give the variable in which IPython 9's `_tee` keeps the `write` that it will put back."""
    code = getattr(method, "__code__", None)
    if code is None or "original_write" not in code.co_freevars:
        return None
    cell: CellType = method.__closure__[code.co_freevars.index("original_write")]
    return cell
