"""The pages lead to each other, and to nowhere else that is not there."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """Give what a page or a lesson says, without its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [each for each in json.loads(text)["cells"] if each["cell_type"] == "markdown"]
        text = "\n\n".join("".join(each["source"]) for each in cells)
    return FENCED.sub("", text)


@cache
def anchors(path: Path) -> set[str]:
    """Give the anchors of a page, as GitHub makes them of its headings."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", [*PAGES, *LESSONS], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_a_heading_is_an_anchor_and_a_comment_in_code_is_none() -> None:
    assert "localetcd-and-localcluster" in anchors(ROOT / "README.md")
    assert "create-a-watcher" not in anchors(ROOT / "README.md")


@pytest.mark.parametrize("folder", ["docs/*.md", "notebooks/*.ipynb"])
def test_the_readme_leads_to_each_page_and_each_lesson(folder: str) -> None:
    linked = {target.partition("#")[0] for target in LINK.findall(prose(ROOT / "README.md"))}
    missing = {name_of(each) for each in ROOT.glob(folder)} - linked
    assert not missing
