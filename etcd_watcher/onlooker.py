"""Who stands by while callbacks are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from etcd_watcher.mailbox import Mailbox

__all__ = ["Onlooker", "attend"]


class Onlooker(Protocol):
    """Stands by while callbacks are called: a notebook's board, say, which shows what they give.

    Called on whatever thread calls the callback, within its context: `DELIVERING` is its mailbox.
    Nothing here may raise or block.
    """

    def begin(self, mailbox: Mailbox) -> None:
        """Know that a callback is about to be called."""
        ...

    def end(self, mailbox: Mailbox) -> None:
        """Know that it has returned, or raised."""
        ...

    def failed(self, mailbox: Mailbox, text: str) -> bool:
        """Know that it raised; tell whether a person is shown it, so that it need not be logged.

        `text` is the traceback of the exception that is being handled; or, where none is, what
        went wrong.
        """
        ...


present: Onlooker | None = None
"""Who stands by, in the whole process; None for nobody. Read where callbacks are called."""


def attend(onlooker: Onlooker | None) -> None:
    """Have one onlooker stand by from now on, in the whole process; None for none."""
    global present  # noqa: PLW0603 - output is the process's, too: sys.stdout is one
    present = onlooker
