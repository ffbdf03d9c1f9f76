"""What a person asked a widget to do at the server: done in order, elsewhere, and told how it went.

A click must not wait for a server with the renderer's lock held, and not on the thread that runs
cells either.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeVar

from etcd_watcher.errors import EtcdWatcherError
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.base import LiveWidget, Message
from etcd_watcher.widgets.shown_text import escaped_text

__all__ = ["Errands", "explain"]

T = TypeVar("T")


class Errands:
    """The errands of one widget. Read and called under the renderer's lock.

    Attributes
    ----------
    trouble : str
        What went wrong with the last errand; "" when it went well.
    """

    def __init__(self, widget: LiveWidget) -> None:
        self._widget = widget
        self._numbers = itertools.count()
        self._under_way = 0
        self._done = 0
        self.trouble = ""

    def run(
        self,
        errand: Callable[[], T],
        then: Callable[[T], object] | None = None,
        otherwise: Callable[[Exception], None] | None = None,
    ) -> None:
        """Do something that may take its time; then draw how it went.

        Parameters
        ----------
        errand : callable
            Called with no lock held.
        then, otherwise : callable, optional
            Called under the renderer's lock with what it gave, or with what it raised. Without
            `otherwise` that becomes the trouble that is shown.
        """
        self._under_way += 1
        self.trouble = ""

        def went_well(found: T) -> None:
            self._come_back()
            if then is not None:
                then(found)

        def went_wrong(error: Exception) -> None:
            self._come_back()
            if otherwise is not None:
                otherwise(error)
            else:
                self.trouble = explain(error)

        asker.ask(self._widget, ("errand", next(self._numbers)), errand, went_well, went_wrong)

    def _come_back(self) -> None:
        self._under_way -= 1
        self._done += 1

    def told(self) -> Message:
        """Say how it stands, for the page: it sets right what it showed in advance."""
        return {"trouble": self.trouble, "busy": self._under_way, "done": self._done}


def explain(error: Exception) -> str:
    """Say what went wrong: our own errors and refusals say it themselves."""
    told = str(error) or type(error).__name__
    if not isinstance(error, (EtcdWatcherError, ValueError)):
        told = f"{type(error).__name__}: {told}"
    return escaped_text(told[:2000])
