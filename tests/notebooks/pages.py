"""The fenced blocks of a Markdown page, and their Python run as a notebook's cells would be."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["ROOT", "Block", "blocks", "run"]

ROOT = Path(__file__).parents[2]

NOT_RUN = "<!-- not run by the tests -->"
"""Stands, unseen by a reader, before a block that cannot be run."""

FENCED = re.compile(r"(^<!--[^\n]*-->\n+)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block, with its page and the number of its first line."""

    page: str
    language: str
    line: int
    text: str
    runs: bool = True


def blocks(page: str) -> list[Block]:
    """Find the blocks of a page, named as from the root."""
    return list(_blocks(page, (ROOT / page).read_text(encoding="utf-8")))


def _blocks(page: str, text: str) -> Iterator[Block]:
    for match in FENCED.finditer(text):
        line = text[: match.start(3)].count("\n") + 1
        runs = (match[1] or "").strip() != NOT_RUN
        yield Block(page, match[2], line, match[3], runs)


async def run(block: Block, names: dict[str, Any]) -> None:
    """Run a block as a notebook's cell would be run: on a loop, and it may await."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    padding = "\n" * (block.line - 1)  # so that a traceback names the page's line
    code = compile(padding + block.text, block.page, "exec", flags=flags, dont_inherit=True)
    result = eval(code, names)  # noqa: S307 - our own page
    if inspect.isawaitable(result):
        await result
