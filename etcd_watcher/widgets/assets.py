"""The scripts and styles of our widgets: one .js and one .css file each, and one of each for all.

A browser's module that comes from a kernel as text can import nothing without an address, so what
the widgets share (`static/common.js`) is put before each one's own script; so is a part of it that
has a file of its own.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

__all__ = ["script", "styles"]


@cache
def _read(name: str) -> str:
    return files("etcd_watcher.widgets").joinpath("static", name).read_text(encoding="utf-8")


def script(*names: str) -> str:
    """Give a widget's module: `static/common.js`, then `static/NAME.js` for each name.

    In ASCII: a page never forgets a module, and keeps two bytes of each character where one of them
    is beyond Latin-1. That was half of the 1 MB that a dashboard took whose cell was run again.
    """
    whole = "\n".join(_read(f"{name}.js") for name in ("common", *names))
    return re.sub(r"[^\x00-\x7f]", lambda found: f"\\u{ord(found[0]):04x}", whole)


def styles(*names: str) -> str:
    """Give a widget's style sheet: `static/common.css`, then `static/NAME.css` for each name."""
    return "\n".join(_read(f"{name}.css") for name in ("common", *names))
