"""Where the file is that tells nbval what differs from run to run: `python -m` prints it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["NBVAL_SANITIZE"]

NBVAL_SANITIZE = Path(__file__).with_name("nbval_sanitize.cfg")
"""For nbval's option `--nbval-sanitize-with`."""

if __name__ == "__main__":
    print(NBVAL_SANITIZE)  # noqa: T201 - that is what it is for
