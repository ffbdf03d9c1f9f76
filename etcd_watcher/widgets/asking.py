"""Questions to a server on behalf of widgets, on a thread of their own: drawing never waits."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

from etcd_watcher.log import logger
from etcd_watcher.widgets.renderer import renderer

__all__ = ["Asker", "asker"]

T = TypeVar("T")

LINGER = 1.0
"""Seconds for which the thread waits for another question before it ends."""


class Asker:
    """Asks one question after the other, on a thread that is there while there are any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        """Guards all below, and is notified when any of it changes."""
        self._waiting: dict[tuple[object, Hashable], Callable[[], None]] = {}
        self._thread: threading.Thread | None = None

    def ask(
        self,
        owner: object,
        about: Hashable,
        question: Callable[[], T],
        answer: Callable[[T], None],
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Ask, and hand over the answer under the renderer's lock. Returns at once.

        A question of the same owner about the same thing, which has not been asked yet, is
        forgotten.

        Parameters
        ----------
        owner : object
            Who asks: `forget` is called with it.
        about : hashable
            What is asked about.
        question : callable
            Called on the thread, with no lock held; it may wait for a server.
        answer, failed : callable
            Called with the answer, or with what was raised instead.
        """

        def put() -> None:
            try:
                found = question()
            except Exception as error:  # noqa: BLE001 - it is told to the one who asked
                told = error
                self._tell(owner, lambda: failed and failed(told))
            else:
                self._tell(owner, lambda: answer(found))

        with self._changed:
            self._waiting.pop((owner, about), None)
            self._waiting[owner, about] = put
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="etcd_watcher-ask", daemon=True
                )
                self._thread.start()

    def forget(self, owner: object) -> None:
        """Ask nothing any more for somebody."""
        with self._changed:
            for each in [each for each in self._waiting if each[0] is owner]:
                del self._waiting[each]
            self._changed.notify_all()

    def close(self) -> None:
        """Ask nothing any more. A question under way is waited for."""
        with self._changed:
            self._waiting.clear()
            ended, self._thread = self._thread, None
            self._changed.notify_all()
        if ended is not None and ended is not threading.current_thread():
            ended.join()

    @staticmethod
    def _tell(owner: object, tell: Callable[[], object]) -> None:
        with renderer.lock:
            try:
                tell()
            except Exception:  # whatever it does with it, others ask on
                logger.exception("an answer could not be shown by %s", type(owner).__name__)

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._thread is not me, LINGER)
                if self._thread is not me:
                    return
                if not self._waiting:
                    self._thread = None
                    return
                question = self._waiting.pop(next(iter(self._waiting)))
            question()


asker = Asker()
"""The kernel's one asker."""

atexit.register(asker.close)
