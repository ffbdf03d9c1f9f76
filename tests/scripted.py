"""A server that does what a test's scripts say."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

PATIENCE = 20.0
"""Seconds after which something that should have happened never will."""


@contextmanager
def scripted(
    scripts: Iterable[Callable[[Any], None]], tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Run a script for each connection, in the order in which they come, and give the port.

    A script is given a socket, within TLS one of its own. What it raises fails the test.
    """
    failures: list[BaseException] = []
    wires: list[socket.socket] = []

    def run(script: Callable[[Any], None], wire: socket.socket) -> None:
        try:
            with wire if tls is None else tls.wrap_socket(wire, server_side=True) as talk:
                script(talk)
        except BaseException as error:  # noqa: BLE001 - the test is told
            failures.append(error)

    def accept() -> None:
        for script in scripts:
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            wire.settimeout(PATIENCE)
            wires.append(wire)
            threads.append(threading.Thread(target=run, args=(script, wire)))
            threads[-1].start()

    listener = socket.create_server(("127.0.0.1", 0))
    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield listener.getsockname()[1]
    except BaseException:
        for wire in wires:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
        raise
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
    for failure in failures:
        raise failure
