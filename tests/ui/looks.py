"""How a page looks, to the eye and to somebody who cannot see it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page

from tests.ui.lab import ROOT

IMAGES = ROOT / "docs/images"

SERIOUS = {"serious", "critical"}

OURS = ".etcd-watcher"


def change_theme(page: Page, *, dark: bool) -> None:
    """Put JupyterLab in its light or its dark theme, and wait until it is.

    JupyterLab 4.6 shows a splash screen meanwhile, as it does when it starts, and takes it out of
    the page 200 ms later. Another one before that is taken out twice, and nobody catches that
    ("removeChild").
    """
    no_splash(page)
    name = "JupyterLab Dark" if dark else "JupyterLab Light"
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name
    )
    light = "false" if dark else "true"
    page.wait_for_selector(f'body[data-jp-theme-light="{light}"]', state="attached")
    # The theme's style sheet comes after its name.
    page.wait_for_function(
        """dark => {
            const back = getComputedStyle(document.body).getPropertyValue('--jp-layout-color1');
            const probe = document.createElement('div');
            probe.style.color = back;
            document.body.append(probe);
            const red = Number(getComputedStyle(probe).color.match(/\\d+/)[0]);
            probe.remove();
            return dark ? red < 128 : red > 128;
        }""",
        arg=dark,
    )
    no_splash(page)


def no_splash(page: Page) -> None:
    page.wait_for_selector("#jupyterlab-splash", state="detached")


def in_both_themes(page: Page) -> Iterator[str]:
    """Go through "dark" and "light", which it ends with."""
    for dark in (True, False):
        change_theme(page, dark=dark)
        yield "dark" if dark else "light"


def faults(page: Page, where: str = OURS) -> list[str]:
    """Give what axe finds seriously wrong with our parts of a page."""
    found = Axe().run(page, context=where).response
    assert found["passes"] or found["violations"], "axe found nothing to look at"
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


def take_picture(of: Page | Locator, name: str, tmp_path: Path) -> Path:
    """Take a screenshot: for docs/images where UPDATE_IMAGES=1 says so, else for who looks."""
    folder = IMAGES if os.environ.get("UPDATE_IMAGES") == "1" else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    of.screenshot(path=path, animations="disabled")
    keep = os.environ.get("KEEP_IMAGES")  # a folder to look at them in, after the test
    if keep:
        Path(keep).mkdir(parents=True, exist_ok=True)
        (Path(keep) / path.name).write_bytes(path.read_bytes())
    return path
