"""The scripts and styles of our widgets: one .js and one .css file each, and one of each for all.

A browser's module that comes from a kernel as text can import nothing without an address, so what
the widgets share (`static/common.js`) is put before each one's own script.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["script", "styles"]


@cache
def _read(name: str) -> str:
    return files("etcd_watcher.widgets").joinpath("static", name).read_text(encoding="utf-8")


def script(name: str) -> str:
    """Give the module of the widget `name`: `static/common.js`, then `static/NAME.js`."""
    return _read("common.js") + "\n" + _read(f"{name}.js")


def styles(name: str) -> str:
    """Give the style sheet of the widget `name`: `static/common.css`, then `static/NAME.css`."""
    return _read("common.css") + "\n" + _read(f"{name}.css")
