"""docs/widgets.md names all that a person can set on a widget, and all that it can do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from etcd_watcher import widgets
from etcd_watcher.widgets.base import LiveWidget
from etcd_watcher.widgets.settings import settings_of

PAGE = Path(__file__).parents[2] / "docs/widgets.md"

INNER = {"tail_of"}
"""What other modules of ours call."""


@pytest.mark.parametrize("name", sorted({*widgets.__all__} - {"LiveWidget"}))
def test_every_setting_and_every_method_is_told_in_its_section(name: str) -> None:
    widget = getattr(widgets, name)
    section = re.search(
        rf"^## {name}\n(.*?)^## ", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert section
    settings = {*settings_of(widget)} - {"save_state"}
    others = {each for each in vars(widget) if not each.startswith("_")} - {*vars(LiveWidget)}
    untold = [each for each in settings | others - INNER if f"`{each}" not in section[1]]
    assert not untold
