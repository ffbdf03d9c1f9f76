"""What is committed names no package registry's host and no folder of the machine it was made on."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Written in pieces: this file is tracked too.
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "deb.debian" + ".org"]
HOSTS += ["conda.anaconda" + ".org", "registry.yarn" + "pkg.com"]
PLACES = ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/[a-z]", "/tm" + "p/[a-z]", "/Us" + "ers/[a-z]"]
UNWANTED = re.compile(
    "|".join([*map(re.escape, HOSTS), *(rf"(?<![\w.]){each}" for each in PLACES)])
)
LOCK_FILES = {"uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock", "package-lock.json"}


def tracked() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [ROOT / name for name in listing.stdout.decode().split("\0") if name]


def test_no_tracked_file_names_a_registry_or_a_place_on_some_machine() -> None:
    files = [path for path in tracked() if path.exists()]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in files
        if b"\0" not in (content := path.read_bytes())
        for number, line in enumerate(content.decode().splitlines(), 1)
        if UNWANTED.search(line)
    ]
    assert not found, "\n".join(found)


def test_no_lock_file_is_tracked() -> None:
    assert not [path for path in tracked() if path.name in LOCK_FILES]


@pytest.mark.parametrize("line", [f"index: https://{HOSTS[0]}/simple", f"cd {PLACES[0]}main"])
def test_the_check_would_notice(line: str) -> None:
    assert UNWANTED.search(line)
