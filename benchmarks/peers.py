"""The other clients: in an environment of their own, which `make bench` sets up."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["PEERS", "available", "follow", "started"]

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"

PEERS = ["aetcd", "etcd-sdk-python", "python-etcd3", "etcd3aio", "etcd3gw", "etcd-client-py"]
"""Names of ways that need a package of benchmarks/peers.txt."""


def available(ways: list[str]) -> list[str]:
    """Give those of these ways that can be measured here."""
    return [
        way
        for way in ways
        if (PYTHON.exists() if way in PEERS else way != "etcdctl" or shutil.which(way))
    ]


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
    done = subprocess.run(
        _command(way, "catch-up", url, prefix, count),
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=timeout,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def started(way: str, url: str, prefix: str, count: int) -> Iterator[subprocess.Popen[str]]:
    """Have one way follow what comes; it is ready when the body begins, and ended behind it."""
    with subprocess.Popen(
        _command(way, "live", url, prefix, count),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            output: Any = process.stdout
            if output.readline() != "ready\n":
                _, errors = process.communicate(timeout=10)
                raise subprocess.SubprocessError(f"{way} did not begin: {errors[-500:]}")
            yield process
        finally:
            process.kill()
