"""Free ports on loopback that stay ours over a restart."""

from __future__ import annotations

import random
import socket

__all__ = ["free_ports"]

PORTS = range(20_000, 30_000)
"""Where we look: below the range from which systems take the client's end of a connection (32768
up on Linux, 49152 up on macOS). Out of that range a port that is free now may be gone at the
restart, and a client that keeps trying to reconnect to it can even connect to itself."""


def free_ports(count: int) -> tuple[int, ...]:
    """Give `count` ports of 127.0.0.1 that nobody listens on at this moment.

    Raises
    ------
    OSError
        There are not that many.
    """
    # Not the shared generator: after random.seed(0) everybody would begin with the same port.
    first = random.SystemRandom().randrange(len(PORTS))
    free: list[int] = []
    for port in (*PORTS[first:], *PORTS[:first]):
        if _is_free(port):
            free.append(port)
        if len(free) == count:
            return tuple(free)
    raise OSError(f"no {count} free ports from {PORTS.start} to {PORTS.stop - 1} on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
