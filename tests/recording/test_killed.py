"""A recording program that is killed: its file loads, and holds what was flushed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from etcd_watcher import LocalEtcd, Recording

# Writes numbers, records them, and says after each `sync` how far it has come.
PROGRAM = """
import sys
from etcd_watcher import Watcher

url, path, prefix = sys.argv[1:]
with Watcher(url, api="v3") as watcher:
    watcher.add_key(prefix, prefix=True)
    with watcher.record(path):
        number = 0
        while True:
            for _ in range(1 + number % 7):
                number += 1
                watcher.put(f"{prefix}{number % 5}", f"{number} " + "x" * (number * 37 % 5000))
            watcher.sync()
            print(number, flush=True)
"""


def kill_while_recording(etcd: LocalEtcd, path: Path, prefix: str, seconds: float) -> bool:
    """Give whether the file was cut off in the middle of a line."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, etcd.url, path, prefix], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    with program:
        flushed = int(program.stdout.readline())
        time.sleep(seconds)  # the moment of the kill is what is tried out
        program.kill()
        for line in program.stdout:
            if line.endswith("\n"):
                flushed = int(line)
    recording = Recording(path)
    numbers = [int((each.value or "").split()[0]) for each in recording.events()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= flushed > 0
    return recording.cut_off


def test_what_was_flushed_before_a_kill_is_in_the_file(
    etcd: LocalEtcd, fresh_key: str, tmp_path: Path
) -> None:
    chance = random.Random(0)  # noqa: S311 - reproducible
    for number in range(3):
        path = tmp_path / f"{number}.jsonl"
        kill_while_recording(etcd, path, f"{fresh_key}/{number}/", chance.uniform(0, 0.05))


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize("part", range(4))
def test_100_kills_lose_nothing_that_was_flushed(
    etcd: LocalEtcd, fresh_key: str, tmp_path: Path, part: int
) -> None:
    chance = random.Random(part)  # noqa: S311 - reproducible
    for number in range(25):
        path = tmp_path / f"{number}.jsonl"
        kill_while_recording(etcd, path, f"{fresh_key}/{number}/", chance.uniform(0, 0.2))
