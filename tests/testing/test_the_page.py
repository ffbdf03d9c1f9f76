"""docs/testing-streams.md: its examples print what it says, and its table has every property."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from etcd_watcher.testing import PROPERTIES, event
from tests.testing.faults import FAULTS

PAGE = (Path(__file__).parents[2] / "docs" / "testing-streams.md").read_text(encoding="utf-8")


def test_the_examples_print_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        if language == "python":
            exec(text, names)  # noqa: S102 - our own page
        else:
            assert capsys.readouterr().out == text
    assert capsys.readouterr().out == ""


def test_the_table_has_every_property_in_their_order() -> None:
    described = re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE)
    assert sorted(described) == sorted(PROPERTIES)


def test_it_counts_the_lies() -> None:
    (count,) = re.findall(r"(\d+) lies", PAGE)
    assert int(count) == len(FAULTS)


def test_an_event_can_be_made_of_text_and_of_bytes() -> None:
    made = event("k", "v", 3, created=2, version=2, prev_value="u")
    assert made == event(b"k", b"v", 3, created=2, version=2, prev_value=b"u")
    assert (made.key, made.value, made.prev_value, made.revision) == ("k", "v", "u", 3)
    deletion = event("k", None, 4)
    assert (str(deletion.type), deletion.value, deletion.synthetic) == ("DELETE", None, False)
