"""`tests.halts`: the command is halted, comes to its end, and its status is ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Looks at the clock all the time, until it has once not been let.
LOOK = """
import time
last, longest = time.monotonic(), 0.0
end = last + 40
while longest < 0.25 and last < end:
    time.sleep(0.01)
    now = time.monotonic()
    last, longest = now, now - last
print(longest)
raise SystemExit(7)
"""


def test_what_comes_of_the_command_is_halted_and_its_status_is_given() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.halts", sys.executable, "-c", LOOK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7
    assert float(done.stdout) >= 0.25
    assert re.search(r"^[1-9]\d* halts; HALTS_SEED=\d+$", done.stderr, re.MULTILINE)
