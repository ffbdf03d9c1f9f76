"""The other clients: in an environment of their own, which `make bench` sets up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

__all__ = ["PEERS", "available", "follow", "started"]

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"

PEERS = ["aetcd", "etcd-sdk-python", "python-etcd3", "etcd3aio", "etcd3gw", "etcd-client-py"]
"""Names of ways that need a package of benchmarks/peers.txt."""


def available(ways: list[str]) -> list[str]:
    """Give those of these ways that can be measured here; say which cannot."""
    here = {
        way: PYTHON.exists() if way in PEERS else way != "etcdctl" or bool(shutil.which(way))
        for way in ways
    }
    left_out = [way for way in ways if not here[way]]
    if left_out:
        without = f"left out, for they are not here: {', '.join(left_out)}"
        print(f"{without}. `make bench` gets Python's peers.", file=sys.stderr)
    return [way for way in ways if here[way]]


def _command(way: str, what: str, url: str, prefix: str, count: int) -> list[str]:
    python = str(PYTHON) if way in PEERS else sys.executable
    return [python, "-m", "benchmarks.ways", way, what, url, prefix, str(count)]


def follow(way: str, url: str, prefix: str, count: int, timeout: float) -> dict[str, Any]:
    """Have one way read all of the past.

    Raises
    ------
    subprocess.SubprocessError
        It failed, or took longer.
    """
    command = _command(way, "catch-up", url, prefix, count)
    with subprocess.Popen(
        command, cwd=ROOT, stdout=PIPE, stderr=PIPE, start_new_session=True
    ) as process:
        try:
            answer, errors = process.communicate(timeout=timeout)
        finally:
            _end(process)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, answer, errors)
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


def _end(process: subprocess.Popen[Any]) -> None:
    """End a way, and what it has started: etcdctl is a program of its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def started(way: str, url: str, prefix: str, count: int) -> Iterator[subprocess.Popen[str]]:
    """Have one way follow what comes; it is ready when the body begins, and ended behind it."""
    with subprocess.Popen(
        _command(way, "live", url, prefix, count),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output: Any = process.stdout
            if output.readline() != "ready\n":
                _, errors = process.communicate(timeout=10)
                raise subprocess.SubprocessError(f"{way} did not begin: {errors[-500:]}")
            yield process
        finally:
            _end(process)
