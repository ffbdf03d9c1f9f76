"""The clock that our tests measure with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.clock import sooner_than

ROOT = Path(__file__).parents[1]

HALTED = """
from tests.clock import sooner_than
with sooner_than(2):
    print("begun", flush=True)
    input()
"""


def test_what_waits_too_long_is_told() -> None:
    with pytest.raises(AssertionError), sooner_than(0.1):
        time.sleep(0.5)


def test_a_process_that_is_halted_takes_no_time() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HALTED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        process.communicate(b"\n", timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
