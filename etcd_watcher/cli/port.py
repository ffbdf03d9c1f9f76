"""The port that a server is to have: what is none, or nobody's to take, is said before it starts."""

from __future__ import annotations

import errno
import os
import socket

from etcd_watcher.cli.lines import say
from etcd_watcher.errors import EtcdWatcherError

__all__ = ["HIGHEST", "port_to_serve_on"]

HIGHEST = 65_535
"""The last port that there is."""

TRIES = 50
"""As many ports as Jupyter's servers try."""


def port_to_serve_on(asked: int) -> int:
    """Give the port that was asked for, or the next one that is free; 0 asks for any.

    Jupyter's servers try others in silence, and Voila tries those that no port can be.

    Raises
    ------
    EtcdWatcherError
        This user may not have it, or all are taken.
    """
    for port in range(asked, min(asked + TRIES, HIGHEST + 1)):
        free = _bound(port)
        if free is not None:
            if asked not in (0, port):
                say(f"port {asked} is taken: this is served on {port}")
            return free
    raise EtcdWatcherError(f"port {asked} and those after it are taken: choose another with --port")


def _bound(port: int) -> int | None:
    """Give the port that was free a moment ago, or None."""
    with socket.socket() as tried:
        # As the servers do: what has just been closed can be taken again.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
            tried.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            raise EtcdWatcherError(
                f"port {port} cannot be served on ({os.strerror(error.errno or 0)}): "
                "choose one from 1024 on with --port"
            ) from error
        number: int = tried.getsockname()[1]
        return number
