"""Tests that interrupt themselves do so however the test run was started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

IN_THE_BACKGROUND = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script's `make test &` does
import tests.conftest
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""


def test_a_test_run_in_the_background_can_interrupt_itself() -> None:
    subprocess.run([sys.executable, "-c", IN_THE_BACKGROUND], cwd=ROOT, check=True, timeout=60)
