"""Figures of pyplot's that a callback makes: shown with its other output, then closed.

pyplot keeps one list of open figures for the whole process, and Jupyter shows all of them at the
end of whatever cell runs next. A figure that a callback makes would be shown there, in the wrong
place, and once more each time.
"""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from typing import Any

__all__ = ["begin_figures", "note_figure", "show_figures"]

HOOK = "etcd_watcher.widgets.figures:note_figure"
"""pyplot calls what `rcParams["figure.hooks"]` names with each figure that it makes."""

_made: ContextVar[list[Any] | None] = ContextVar("etcd_watcher_figures", default=None)
"""The figures of the callback that the present code belongs to; None outside of one."""

_drawing = threading.RLock()
"""Held while a figure is drawn: parts of matplotlib (its text, for one) do not bear two threads."""


def begin_figures() -> None:
    """Note the figures that are made from here on, in this context."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    _made.set([])
    if pyplot is not None:
        hooks = pyplot.rcParams["figure.hooks"]
        if HOOK not in hooks:
            pyplot.rcParams["figure.hooks"] = [*hooks, HOOK]


def note_figure(figure: Any) -> None:
    """Note a new figure, if it is a callback's: pyplot calls this."""
    made = _made.get()
    if made is None:
        return
    made.append(figure)

    def show() -> None:
        # IPython asks this instead of drawing the figure. Not in our context: some cell shows all
        # open figures at its end, and closes them.
        if _made.get() is made:
            _show(figure)
        else:
            figure.closed_by_a_cell = True

    figure._ipython_display_ = show


def _show(figure: Any) -> None:
    from IPython.display import display  # noqa: PLC0415 - only where there is something to show

    show = figure.__dict__.pop("_ipython_display_")
    figure.was_shown = True
    try:
        with _drawing:
            display(figure)  # type: ignore[no-untyped-call]
    finally:
        figure._ipython_display_ = show


def show_figures() -> None:
    """Show the figures of this context that were not shown yet, and close them all."""
    made = _made.get()
    if not made:
        return
    pyplot = sys.modules["matplotlib.pyplot"]
    for figure in made:
        is_open = pyplot.fignum_exists(figure.number)
        # One that the callback has closed is not wanted.
        if (is_open or hasattr(figure, "closed_by_a_cell")) and not hasattr(figure, "was_shown"):
            _show(figure)
        pyplot.close(figure)
    made.clear()
