"""Whose output is it? What a callback prints, displays or raises goes to those who show it.

Measured in ipykernel 7.4: a thread's `print` lands in whatever cell is running, and an `Output`
widget's `with` and `contextlib.redirect_stdout` move the output of all other threads along. So we
ask, at each write, whose callback the present code belongs to (`DELIVERING`), and leave the output
of everything else alone.
"""

from __future__ import annotations

import base64
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from etcd_watcher.log import logger
from etcd_watcher.mailbox import DELIVERING, Mailbox
from etcd_watcher.onlooker import attend
from etcd_watcher.widgets.detours import Detours
from etcd_watcher.widgets.figures import begin_figures, show_figures
from etcd_watcher.widgets.output_tail import OutputTail

__all__ = ["Audience", "OutputRouter", "router"]

PACKAGE = str(Path(__file__).parents[1])


class Audience(Protocol):
    """Shows the output of callbacks."""

    def tail_of(self, mailbox: Mailbox) -> OutputTail | None:
        """Give what keeps a mailbox's output, from any thread; None for one that is not ours."""
        ...


class OutputRouter:
    """Sends each piece of output where it belongs, for as long as somebody shows some."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        """Guards all below. Reentrant: a finalizer may print wherever we allocate."""
        self._audiences: list[Audience] = []
        self._tails: weakref.WeakKeyDictionary[Mailbox, tuple[OutputTail, ...]] = (
            weakref.WeakKeyDictionary()
        )
        self._detours = Detours()

    def open(self, audience: Audience) -> None:
        """Let somebody have the output of the mailboxes that are theirs."""
        with self._lock:
            self._audiences.append(audience)
            self._tails.clear()
            if len(self._audiences) == 1:
                self._detours.put(threading.Thread, "start", _start_within)
                attend(self)
        self.reach()

    def close(self, audience: Audience) -> None:
        """Let them have it no more; with the last, everything is as it was."""
        with self._lock:
            if audience not in self._audiences:
                return
            self._audiences.remove(audience)
            self._tails.clear()
            if not self._audiences:
                attend(None)
                self._detours.remove_all()

    def reach(self) -> None:
        """Get in the way of the output there is: IPython and `%%capture` replace what they find."""
        publisher = _publisher()
        if (
            hasattr(sys.stdout.write, "beneath")
            and hasattr(sys.stderr.write, "beneath")
            and (publisher is None or hasattr(publisher.publish, "beneath"))
        ):
            return
        with self._lock:
            if not self._audiences:
                return
            self._detours.put(sys.stdout, "write", partial(self._write_to, "stdout"))
            self._detours.put(sys.stderr, "write", partial(self._write_to, "stderr"))
            if publisher is not None:
                self._detours.put(publisher, "publish", self._publish_to)
                self._detours.put(publisher, "clear_output", self._clear)

    def tails(self) -> tuple[OutputTail, ...]:
        """Give those who keep the output of the present code; empty for a cell's, say."""
        mailbox = DELIVERING.get()
        if mailbox is None:
            return ()
        with self._lock:
            found = self._tails.get(mailbox)
            audiences = list(self._audiences)
        if found is None:
            asked = [each.tail_of(mailbox) for each in audiences]
            found = tuple(each for each in asked if each is not None)
            with self._lock:
                if audiences == self._audiences:
                    self._tails[mailbox] = found
        return found

    # An onlooker of the callbacks (`onlooker.Onlooker`).

    def begin(self, mailbox: Mailbox) -> None:  # noqa: ARG002 - the context knows it
        """See to it that what follows is heard."""
        self.reach()
        if self.tails():
            begin_figures()

    def end(self, mailbox: Mailbox) -> None:
        """Show what is left to show."""
        try:
            show_figures()
        except Exception:  # noqa: BLE001 - a figure that cannot be drawn is the callback's affair
            self.failed(mailbox, traceback.format_exc())

    def failed(self, mailbox: Mailbox, text: str) -> bool:  # noqa: ARG002 - as above
        """Show an exception; whoever has set up logging gets it there as well."""
        tails = self.tails()
        error = sys.exception()
        if error is None:
            name, _, value = text.strip().rpartition("\n")[2].partition(": ")
            trace = [text]
        else:
            name, value = type(error).__name__, _text_of(error)
            trace = _their_part(error)
        for each in tails:
            each.fail(name, value, trace)
        return bool(tails) and not logger.hasHandlers()

    # What is put in the way of the output.

    def _write_to(self, name: str, write: Callable[[str], Any]) -> Callable[[str], Any]:
        def routed_write(text: str) -> Any:
            tails = self.tails()
            if not tails or not isinstance(text, str):
                return write(text)
            for each in tails:
                each.write(name, text)
            return len(text)

        return routed_write

    def _publish_to(self, publish: Callable[..., Any]) -> Callable[..., Any]:
        def routed_publish(
            data: dict[str, Any],
            metadata: dict[str, Any] | None = None,
            *arguments: Any,
            transient: dict[str, Any] | None = None,
            update: bool = False,
            **more: Any,
        ) -> None:
            tails = self.tails()
            content = {kind: _json_safe(each) for kind, each in data.items()} if tails else {}
            shown_as = (transient or {}).get("display_id")
            if update:
                tails = tuple(
                    each for each in tails if each.update(content, metadata or {}, shown_as)
                )
            else:
                for each in tails:
                    each.display(content, metadata or {}, shown_as)
            if not tails:  # nobody's, or an update of something that a cell shows
                publish(data, metadata, *arguments, transient=transient, update=update, **more)

        return routed_publish

    def _clear(self, clear_output: Callable[..., Any]) -> Callable[..., Any]:
        def routed_clear_output(wait: bool = False) -> None:  # noqa: FBT001, FBT002 - IPython's
            tails = self.tails()
            for each in tails:
                each.clear(wait=wait)
            if not tails:
                clear_output(wait)

        return routed_clear_output


def _start_within(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """Have a thread that a callback starts be the callback's, too, as asyncio has its tasks."""

    def routed_start(thread: threading.Thread) -> None:
        if DELIVERING.get() is not None and not thread.name.startswith("etcd_watcher-"):
            run, context = thread.run, copy_context()
            thread.run = lambda: context.run(run)  # type: ignore[method-assign]
        start(thread)

    return routed_start


def _publisher() -> Any:
    """Give what `display` hands its bundles to; None outside of IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return None if shell is None else shell.display_pub


def _json_safe(content: Any) -> Any:
    return base64.b64encode(content).decode("ascii") if isinstance(content, bytes) else content


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - it may be anybody's class
        return "(an exception that cannot be shown as text)"


def _their_part(error: BaseException) -> list[str]:
    """Give a traceback without the frames of ours that it begins with."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(PACKAGE):
        trace = trace.tb_next
    try:
        return traceback.format_exception(type(error), error, trace or error.__traceback__)
    except Exception:  # noqa: BLE001 - of an exception whose own text raises
        return [f"{type(error).__name__}: {_text_of(error)}\n"]


router = OutputRouter()
"""The process's one: stdout is one, too."""
