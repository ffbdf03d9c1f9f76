"""What a person is shown of an error of ours: the line that called us, not how we found out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

__all__ = ["short_traceback", "up_to_our_caller", "without_causes_of_ours"]

PACKAGE = __name__.split(".", maxsplit=1)[0]


@contextmanager
def without_causes_of_ours(error: BaseException) -> Iterator[None]:
    """Leave out, within, what an error came from inside the package: its message says that.

    What the person was handling themselves when they called us stays.
    """
    before = error.__cause__, error.__context__, error.__suppress_context__
    found = _behind(error)
    if found is not None and _began_here(found):
        while found is not None and _began_here(found):
            found = _behind(found)
        error.__cause__, error.__context__ = None, found
        error.__suppress_context__ = found is None
    try:
        yield
    finally:
        error.__cause__, error.__context__, error.__suppress_context__ = before


def _behind(error: BaseException) -> BaseException | None:
    """Give what an error is said to have come from."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _began_here(error: BaseException) -> bool:
    """Tell whether it was this package that caught an error."""
    step = error.__traceback__
    return step is not None and _is_ours(step)


def up_to_our_caller(whole: TracebackType) -> TracebackType:
    """Give a traceback without what lies within the package at its end."""
    steps: list[TracebackType] = []
    step: TracebackType | None = whole
    while step is not None:
        steps.append(step)
        step = step.tb_next
    while len(steps) > 1 and _is_ours(steps[-1]):
        steps.pop()
    shown = None
    for each in reversed(steps):
        shown = TracebackType(shown, each.tb_frame, each.tb_lasti, each.tb_lineno)
    assert shown is not None  # noqa: S101 - there is one step at least
    return shown


def _is_ours(step: TracebackType) -> bool:
    name = str(step.tb_frame.f_globals.get("__name__"))
    return name.split(".", maxsplit=1)[0] == PACKAGE


def short_traceback(error: BaseException) -> list[str]:
    """Give an error's traceback as IPython shows it, without what lies within the package.

    It ends with the line of the cell, which is where a person can do something about it.
    """
    whole = error.__traceback__
    shown = None if whole is None else up_to_our_caller(whole)
    shell = sys.modules["IPython"].get_ipython()
    with without_causes_of_ours(error):
        lines: list[str] = shell.InteractiveTB.structured_traceback(
            type(error), error, shown, tb_offset=1
        )
    return lines
