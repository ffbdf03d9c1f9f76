"""A `Link`: what the system does with a connection that the other side has closed."""

from __future__ import annotations

import subprocess
import sys

WRITE = """
import signal, socket
from etcd_watcher.stores.http2_link import Bell, Link

signal.signal(signal.SIGPIPE, signal.SIG_DFL)
ours, theirs = socket.socketpair()
ours.setblocking(False)
theirs.close()
try:
    Link(ours, Bell()).send(b"hello", 1)
except BrokenPipeError:
    print("an error")
"""


def test_a_program_that_dies_of_sigpipe_outlives_its_connections() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "an error\n", "")
