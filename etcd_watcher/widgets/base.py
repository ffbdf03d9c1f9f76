"""What all our widgets have in common; how one is made is told in `etcd_watcher.widgets`."""

from __future__ import annotations

from html import escape
from typing import Any

from anywidget import AnyWidget
from IPython.display import display
from traitlets import Bool, TraitError, Unicode

from etcd_watcher.interactive import when_run_again
from etcd_watcher.watcher import Watcher
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.renderer import renderer
from etcd_watcher.widgets.saved import SavedForm
from etcd_watcher.widgets.settings import check_settings, settings_of, shown_settings

__all__ = ["LiveWidget", "Message"]

Message = dict[str, Any]
"""What goes between a widget and its page: JSON."""

CALM = 0.5
"""Seconds without news after which the whole state is sent once more: the last news may be lost."""

LATE = 4.0
"""Seconds after which the page is told once where we stand, so that it can ask if it stands
elsewhere: Jupyter's server counts messages over 3 s, and may have dropped the repetition too."""


class LiveWidget(AnyWidget):
    """A widget that shows what a watcher sees, live; the base of ours.

    Parameters
    ----------
    watcher : Watcher
        What it shows. It lives for as long as the widget is open.
    save_state : bool
        Let a saved notebook hold what was shown last, as a table. By default it holds no value and
        no key, only what this was: etcd holds secrets.
    **settings
        The widget's own, each checked.

    Raises
    ------
    TypeError
        For a keyword that it does not know; the message names the nearest one.
    traitlets.TraitError
        For a value that a setting cannot have.
    """

    _esm: Any = Unicode("export default {}").tag(sync=True)
    _css: Any = Unicode("").tag(sync=True)

    save_state = Bool(default_value=False).tag(setting=True)

    _open = False
    _own_layout = False

    def __init__(self, watcher: Watcher, *unnamed: object, **settings: Any) -> None:
        if not hasattr(watcher, "journal") or not hasattr(watcher, "status"):
            raise TypeError(
                f"{type(self).__name__} shows a watcher, not a {type(watcher).__name__}: "
                f"{type(self).__name__}(Watcher(url))"
            )
        known = [*settings_of(type(self)), "layout"]
        check_settings(type(self).__name__, known, settings, unnamed)
        self.watcher = watcher
        self._number = 0
        """Counts the messages with news: a page that misses one asks for the whole."""
        self._whole_wanted = True
        self._last_news: float | None = None
        """When news was sent; None once it has been repeated."""
        self._last_repeat: float | None = None
        self.messages_sent = 0
        """How many messages it sent to its page."""
        self._saved: list[SavedForm] = []
        """Where it was displayed with `save_state=True`."""
        self.part_of: LiveWidget | None = None
        """A widget that this one is a part of, and is saved with."""
        self._own_layout = "layout" not in settings
        try:
            super().__init__(**settings)
        except TraitError as error:
            # A cell shows what was wrong, not where in traitlets it was found.
            raise error.with_traceback(None) from None
        self._let_subshells_listen()
        self._start()
        self.on_msg(self._take)
        self._open = True
        when_run_again(self.close)
        renderer.add(self)

    # What a widget says for itself.

    def _start(self) -> None:
        """Get ready for the first drawing."""

    def _delta(self) -> Message | None:
        """Give what is new since the last drawing in absolute values, or None.

        A list of bytes under "buffers" goes along as it is.
        """
        return None

    def _whole(self) -> Message:
        """Give all that a page needs that knows nothing yet: bounded, however much there was."""
        return {}

    def _repetition(self) -> Message:
        """Give what is sent once things have calmed down: all, unless that is much."""
        return {"kind": "whole", "number": self._number} | self._whole()

    def _heard(self, message: Message) -> None:
        """Take what the page asked for. It is answered by the next drawing."""

    def _saved_html(self) -> str | None:
        """Give what a notebook may hold that is saved with `save_state=True`."""
        return None

    # Drawing.

    def draw(self, now: float) -> None:
        """Send what is new, if anything: called by the renderer."""
        try:
            self._draw(now)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            self._tell({"kind": "problem", "text": f"This is shown no more, because of {what}"})
            raise

    def _draw(self, now: float) -> None:
        fresh = self._delta()
        if self._whole_wanted:
            self._whole_wanted = False
            # What was asked for may be in what is new, and nowhere else.
            self._send_news("whole", (fresh or {}) | self._whole(), now)
        elif fresh is not None:
            self._send_news("delta", fresh, now)
        elif self._last_news is not None and now - self._last_news > CALM:
            self._last_news = None
            self._last_repeat = now
            self._tell(self._repetition())
            self._save()
        elif self._last_repeat is not None and now - self._last_repeat > LATE:
            self._last_repeat = None
            self._tell({"kind": "still", "number": self._number})

    def _send_news(self, kind: str, message: Message, now: float) -> None:
        self._number += 1
        self._last_news, self._last_repeat = now, None
        self._tell({"kind": kind, "number": self._number} | message)

    def _tell(self, message: Message) -> None:
        self.messages_sent += 1
        self.send(message, message.pop("buffers", None))

    def _send(self, msg: Message, buffers: Any = None) -> None:
        super()._send(msg, buffers=buffers)
        self._let_subshells_listen()

    def _let_subshells_listen(self) -> None:
        """Let what comes from the page be heard while a cell runs.

        JupyterLab sends it to a subshell of the kernel, which has a thread of its own. But ipykernel
        7.4 keeps with each comm which loop sent on it last, and passes the answer to that one: the
        main loop's, which waits for the cell.
        """
        if self.comm is not None:
            self.comm.__dict__.pop("_reply_subshell_id", None)

    def _redraw(self) -> None:
        """Have the whole sent at the next drawing."""
        with renderer.lock:
            self._whole_wanted = True

    # What comes from the page: on the main thread, or on a subshell's while a cell runs.

    def _take(self, _: object, message: object, __: object) -> None:
        if not isinstance(message, dict):
            return
        with renderer.lock:
            if message.get("ask") == "whole":
                self._whole_wanted = True
            else:
                self._heard(message)

    def set_state(self, sync_data: Message) -> None:
        """Take traits from the page."""
        with renderer.lock:
            super().set_state(sync_data)

    # Its life.

    def close(self) -> None:
        """Show nothing any more, anywhere. Idempotent; the watcher is left as it is."""
        if self._open:
            self._open = False
            asker.forget(self)
            renderer.remove(self)
            self._save()
        # ipywidgets closes a collected widget too, on whatever thread collects, with whatever lock
        # it holds. We are open for as long as the renderer draws us, so no lock is asked for then.
        super().close()
        if self._own_layout:
            # ipywidgets leaves it to a page for good, which keeps with it all that it was made for.
            self._own_layout = False
            self.layout.close()

    # How it looks without a page.

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown_settings(self)})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is not None:
            bundle[0]["text/html"] = self._static_html()
        return bundle

    def _static_html(self) -> str:
        """Give what a notebook shows where there is no kernel: what this was, and how to have it."""
        name = type(self).__name__
        return (
            f"<p><em>{escape(name)}</em>: it is live in a running notebook. "
            "Run this cell to see it.</p>"
        )

    def _ipython_display_(self) -> None:
        """Display it with a saved form beside it, where that was asked for."""
        if not self.save_state:
            raise NotImplementedError  # IPython displays it as any other
        display(self._repr_mimebundle_()[0], raw=True)  # type: ignore[no-untyped-call]
        with renderer.lock:
            self._saved.append(SavedForm(self._saved_html()))

    def _save(self) -> None:
        """Bring the saved forms up to date."""
        if self._saved:
            with renderer.lock:
                html = self._saved_html()
            for form in self._saved:
                form.update(html)
        if self.part_of is not None:
            self.part_of._save()  # noqa: SLF001 - of our own kind
