"""Run a command on a machine that halts now and then: `python -m tests.halts make test`.

All that comes of the command is stopped together, for up to 2 s, and goes on: what a virtual machine
does that is not let run, a disk that is slow, a laptop's lid. A test that fails counts on time that
nobody promised, or the product does.

The seed, HALTS_SEED in the environment, decides when; it is printed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence

import psutil

from tests.processes import processes_with

MARK = "ETCD_WATCHER_HALTS"
"""In the environment of all that comes of the command."""

BETWEEN = 3.0, 12.0
"""Seconds from one halt to the next."""

LENGTHS = [0.3, 0.7, 1.5, 2.2]
"""Seconds."""


def run(command: Sequence[str], seed: int) -> int:
    """Run it, and give its exit status."""
    mark = uuid.uuid4().hex
    chance = random.Random(seed)  # noqa: S311 - that can be had again
    process = subprocess.Popen(command, env=os.environ | {MARK: mark})
    halts = 0
    try:
        while not ended(process, chance.uniform(*BETWEEN)):
            stopped = halt(mark)
            try:
                over = ended(process, chance.choice(LENGTHS))
            finally:
                for each in stopped:
                    with contextlib.suppress(psutil.Error):
                        each.send_signal(signal.SIGCONT)
            halts += 1
            if over:
                break
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait()
        print(f"{halts} halts; HALTS_SEED={seed}", file=sys.stderr)  # noqa: T201
    return process.returncode


def ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return True
    return False


def halt(mark: str) -> list[psutil.Process]:
    """Stop all that run, and give them. What a test has stopped itself is left to it."""
    stopped = []
    for each in processes_with(MARK, mark):
        with contextlib.suppress(psutil.Error):
            if each.status() != psutil.STATUS_STOPPED:
                each.send_signal(signal.SIGSTOP)
                stopped.append(each)
    return stopped


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], int(os.environ.get("HALTS_SEED", random.randrange(1000)))))  # noqa: S311
