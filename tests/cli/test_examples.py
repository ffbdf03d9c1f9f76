"""The commands that the page and the help show can be meant."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from etcd_watcher.cli import options

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
HELP = "".join(str(text) for name, text in vars(options).items() if name.endswith("EXAMPLES"))

# Up to a pipe, an `&` or a comment, or to the second column of the help's.
COMMANDS = re.findall(
    r"^ *etcd-watcher ([a-z]+(?: [^#|&>\n]+?)?)(?:  .*| *[#|&>].*)?$", PAGE + HELP, re.MULTILINE
)


def test_there_are_some() -> None:
    assert len(COMMANDS) >= 15
    assert {each.split()[0] for each in COMMANDS} >= {"watch", "record", "replay"}


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_it_can_be_meant(command: str) -> None:
    assert options.parse(shlex.split(command)).run
