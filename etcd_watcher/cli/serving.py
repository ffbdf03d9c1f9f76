"""JupyterLab or Voila in this process, on loopback, and an end as of any Unix program.

    python -m etcd_watcher.cli.serving lab|dashboard [--port N] [--no-browser] [NOTEBOOK]

A program of its own, so that what it was told of etcd is in its environment alone: `etcd-watcher`
becomes this.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import warnings
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

from etcd_watcher.cli.lines import say
from etcd_watcher.cli.signals import die_of
from etcd_watcher.cli.unseen import LOOK_EVERY, UnseenKernels

__all__ = ["main"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

REDIRECT = '<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={url}">'


class Ending:
    """Stops a server at the first signal, and dies of the second at once."""

    def __init__(self) -> None:
        self.number = 0
        """The signal that came."""

    def stop_with(self, stop: Callable[[], None]) -> None:
        """Call `stop` when one of them comes that our caller has not had ignored."""

        def note(number: int, _: FrameType | None) -> None:
            self.number = number
            for each in SIGNALS:
                if signal.getsignal(each) is note:
                    signal.signal(each, signal.SIG_DFL)
            stop()

        for each in SIGNALS:
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, note)


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal comes, and die of that once all that was started has ended."""
    what, *others = arguments
    ending = Ending()
    ignored = [each for each in SIGNALS if signal.getsignal(each) is signal.SIG_IGN]
    if signal.SIGINT not in ignored:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing has been started yet
    {"lab": serve_lab, "dashboard": serve_dashboard}[what](others, ending, ignored)
    if ending.number:
        die_of(ending.number)
    return 0


def serve_lab(arguments: Sequence[str], ending: Ending, ignored: Sequence[signal.Signals]) -> None:
    """Be JupyterLab."""
    from jupyterlab.labapp import LabApp  # noqa: PLC0415 - one of the two is installed

    given = ["--ServerApp.ip=127.0.0.1", "--Application.log_level=WARN", *arguments]
    if os.geteuid() == 0:
        given.append("--allow-root")
    with warnings.catch_warnings(record=True):  # it warns itself of its server's settings
        server = LabApp.initialize_server(given)
    if server.file_to_run:  # so that the address that is printed leads to it
        notebook = os.path.relpath(server.file_to_run, server.root_dir)
        server.default_url = "/lab/tree/" + quote(notebook)
    _ignore(ignored)
    ending.stop_with(lambda: server.stop(from_signal=True))
    server.start()


def serve_dashboard(
    arguments: Sequence[str], ending: Ending, ignored: Sequence[signal.Signals]
) -> None:
    """Be Voila, with the dashboard as its only page."""
    from tornado.ioloop import IOLoop, PeriodicCallback  # noqa: PLC0415
    from voila.app import Voila  # noqa: PLC0415

    class Page(Voila):  # type: ignore[misc]  # it has no types
        """Lets in only who has the token: whoever sees the page may be able to write to etcd."""

        def listen(self) -> None:
            self.ioloop = IOLoop.current()
            _ignore(ignored)
            ending.stop_with(lambda: self.ioloop.add_callback_from_signal(self.ioloop.stop))
            PeriodicCallback(UnseenKernels(self.kernel_manager).look, LOOK_EVERY * 1000).start()
            super().listen()

        def launch_browser(self) -> None:
            """Open the page by a file that only this user can read, and no program's argument."""
            say(f"the dashboard is at {self.connection_url}?token={self.token}")
            if wanted:
                file = Path(self.connection_dir) / "open.html"
                file.touch(0o600)
                file.write_text(REDIRECT.format(url=f"{self.connection_url}?token={self.token}"))
                webbrowser.open(file.as_uri())

    wanted = "--no-browser" not in arguments
    notebook = Path(__file__).with_name("dashboard.ipynb")
    page = Page()
    page.initialize(
        [
            *(each for each in arguments if each != "--no-browser"),
            *["--Voila.ip=127.0.0.1", "--Voila.log_level=ERROR", str(notebook)],
        ]
    )
    page.token = secrets.token_urlsafe(24)
    page.voila_configuration.prelaunch_hook = _let_it_say_that_it_is_closed
    page.start()


def _let_it_say_that_it_is_closed(handler: Any, **_: object) -> None:
    """Give a page the cookie that it has to show then; Voila 0.5 itself does not."""
    handler.xsrf_token  # noqa: B018 - which sets it


def _ignore(ignored: Sequence[signal.Signals]) -> None:
    """Ignore again what our caller has had ignored, whatever a server made of it."""
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
