"""The parts of our widgets, found as a person would call them."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect


def button(where: Page | Locator, name: str | re.Pattern[str]) -> Locator:
    return where.get_by_role("button", name=name, exact=True)


def grid(page: Page) -> Locator:
    """The table of an EventLog."""
    return page.get_by_role("grid", name="Events")


def rows(table: Locator) -> Locator:
    """The rows of a table that are in the page, from top to bottom, without its head."""
    return table.get_by_role("row").filter(has=table.page.get_by_role("gridcell"))


def tree(page: Page) -> Locator:
    """The table of a KeyTree."""
    return page.get_by_role("treegrid", name="Keys")


def node(page: Page, name: str) -> Locator:
    """A row of a KeyTree."""
    named = page.locator(".ew-name").filter(has_text=re.compile(rf"^{re.escape(name)}$"))
    return tree(page).get_by_role("row").filter(has=named)


def cells(row: Locator) -> list[str]:
    """What a row of a table says, column by column."""
    return row.get_by_role("gridcell").all_inner_texts()


def card(page: Page, name: str) -> Locator:
    """A subscriber's card on a CallbackBoard."""
    return page.get_by_role("region", name=name, exact=True)


def shown(page: Page, text: str) -> None:
    """Wait until the line above an EventLog's table says so."""
    expect(page.locator(".ew-counted")).to_contain_text(text)
