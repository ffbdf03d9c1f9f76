"""The scripts and styles of our widgets: one .js and one .css file each, and one of each for all.

A browser's module that comes from a kernel as text can import nothing without an address, so what
the widgets share (`static/common.js`) is put before each one's own script; so is a part of it that
has a file of its own.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

__all__ = ["script", "styles"]


@cache
def _read(name: str) -> str:
    return files("etcd_watcher.widgets").joinpath("static", name).read_text(encoding="utf-8")


def script(*names: str) -> str:
    """Give a widget's module: `static/common.js`, then `static/NAME.js` for each name."""
    return "\n".join(_read(f"{name}.js") for name in ("common", *names))


def styles(*names: str) -> str:
    """Give a widget's style sheet: `static/common.css`, then `static/NAME.css` for each name."""
    return "\n".join(_read(f"{name}.css") for name in ("common", *names))
