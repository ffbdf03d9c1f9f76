"""The pages in docs/ are code: their Python runs, and prints what they say."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ipywidgets import Widget

from etcd_watcher import ExpectationFailed, LocalEtcd, Watcher
from etcd_watcher.expect import any_order, deleted, put
from etcd_watcher.widgets.asking import asker
from etcd_watcher.widgets.renderer import renderer
from tests.notebooks.pages import ROOT, Block, blocks, run
from tests.pytest_plugin.test_fixtures import run as run_pytest
from tests.recording.test_format import SCHEMA
from tests.widgets.kernel import running_kernel

pytest_plugins = ["pytester"]

PAGES = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
BLOCKS = {page: blocks(page) for page in ["README.md", *PAGES]}

Before = Callable[["Scene"], None]


class Scene:
    """What a page takes for given: names, and a server where it speaks of one."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.replaced: dict[str, str] = {}
        """What a page says of somebody else's server, and what it is here."""
        self.ends = ExitStack()

    def serve(self, **given: Any) -> tuple[LocalEtcd, Watcher]:
        """Start a server, with a watcher of it that the page's blocks find."""
        etcd = self.ends.enter_context(LocalEtcd(v2=False, **given))
        watcher = self.ends.enter_context(Watcher(etcd))
        self.names |= {"etcd": etcd, "watcher": watcher}
        return etcd, watcher


def for_expectations(scene: Scene) -> None:
    _, watcher = scene.serve()
    watcher.add_key("job")
    watcher.put("job", "started")
    watcher.put("job", "done")
    watcher.delete("job")


def for_recordings(scene: Scene) -> None:
    _, watcher = scene.serve()
    watcher.add_key("nokia")
    with watcher.record("lesson.jsonl"):
        watcher.put("nokia", "hello")


def for_the_past(scene: Scene) -> None:
    _, watcher = scene.serve()
    for number in range(13):
        watcher.put(f"news/{number}", "x")  # up to revision 14
    watcher.add_key(["nokia", "redhat", "suse"])
    watcher.put("redhat", "news")
    watcher.put("nokia", "hi")
    watcher.put("nokia", "hello")
    watcher.put("nokia", "goodbye")
    watcher.delete("redhat")
    watcher.put("suse", "news")


def for_security(scene: Scene) -> None:
    etcd, _ = scene.serve(tls=True, client_cert=True, user="luis", password="…")
    for path, name in ((etcd.ca_cert, "ca.pem"), (etcd.cert, "me.pem"), (etcd.key, "me.key")):
        shutil.copy(str(path), name)
    scene.replaced["https://etcd-1.example.com:2379"] = etcd.url


BEFORE: dict[str, Before] = {
    "docs/expectations.md": for_expectations,
    "docs/record-and-replay.md": for_recordings,
    "docs/security.md": for_security,
    "docs/time-machine.md": for_the_past,
}

FAILURES = {"docs/expectations.md"}
"""Its texts are failures: see below."""

ELSEWHERE = {"docs/magics.md", "docs/notebook-tests.md"}
"""Their blocks are cells of a notebook, and a file of tests: see below."""


def python(page: str) -> list[Block]:
    return [each for each in BLOCKS[page] if each.language == "python" and each.runs]


PLAIN = [page for page in PAGES if python(page) and page not in ELSEWHERE]


@pytest.fixture
def scene(no_leaks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.chdir(tmp_path)
    scene = Scene()
    with scene.ends:
        yield scene
        Widget.close_all()  # those that a block showed, and gave no name
        renderer.close()
        asker.close()
        for each in scene.names.values():
            if isinstance(each, Watcher):
                each.close()
            elif isinstance(each, LocalEtcd):
                each.stop()


@pytest.mark.parametrize("name", PLAIN)  # Playwright has a fixture "page"
def test_every_example_of_a_page_runs_and_prints_what_it_says(
    scene: Scene, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in BEFORE:
        BEFORE[name](scene)
    capsys.readouterr()
    found = BLOCKS[name]

    async def main() -> None:
        for block, following in zip(found, [*found[1:], None], strict=True):
            if block.language != "python" or not block.runs:
                continue
            text = block.text
            for said, here in scene.replaced.items():
                text = text.replace(said, here)
            await run(block._replace(text=text), scene.names)
            shown = capsys.readouterr()
            assert shown.err == ""
            if following is not None and following.language == "text" and name not in FAILURES:
                assert shown.out == following.text, f"{name}, line {block.line}"

    asyncio.run(main())


def test_few_blocks_are_not_run() -> None:
    left_out = [
        each
        for found in BLOCKS.values()
        for each in found
        if each.language == "python" and not each.runs
    ]
    assert len(left_out) <= 2, left_out


# What a failing expectation says.


def fail(watcher: Watcher, *steps: Any, **given: Any) -> str:
    with pytest.raises(ExpectationFailed) as caught:
        watcher.expect(*steps, within=0.02, **given)
    return str(caught.value).replace("0.02 s", "10 s") + "\n"


def test_failures_are_told_as_the_page_tells_them() -> None:
    told = [each.text for each in BLOCKS["docs/expectations.md"] if each.language == "text"]
    with LocalEtcd(v2=False) as etcd:

        def fresh(*changes: tuple[str, str | None]) -> Watcher:
            etcd.stop()
            etcd.start()
            watcher = Watcher(etcd)
            watcher.add_key("", prefix=True)
            for key, value in changes:
                watcher.delete(key) if value is None else watcher.put(key, value)
            watcher.sync()
            return watcher

        with fresh(("nokia", "1"), ("nokia", "3"), ("nokia", None)) as watcher:
            news = put("nokia", "1"), put("nokia", "2"), deleted("nokia")
            assert fail(watcher, *news) == told[0]
        with fresh(("a", "1"), ("b", "2")) as watcher:
            three = any_order(put("a"), put("b", "3"), deleted("c"))
            assert fail(watcher, three, put("d")) == told[1]
        with fresh(("a", "1"), ("x", "y")) as watcher:
            assert fail(watcher, put("a"), nothing_else=True) == told[2]
        with fresh(("a", "1"), ("b", "1")) as watcher:
            assert fail(watcher, put("b"), put("a"), since=1) == told[3]


# A file of tests, and cells.


def test_the_file_of_tests_passes_as_it_stands_and_fails_as_it_says(
    pytester: pytest.Pytester,
) -> None:
    (file,) = python("docs/notebook-tests.md")
    (failed,) = [each for each in BLOCKS["docs/notebook-tests.md"] if each.language == "text"]
    assert file.text.count("\n") <= 5
    run_pytest(pytester, file.text).assert_outcomes(passed=1)
    wrong = file.text.replace('etcd.put("nokia", "hello")', 'etcd.put("nokia", "good bye")')
    result = run_pytest(pytester, wrong)
    result.assert_outcomes(failed=1)
    assert failed.text in result.stdout.str()


def test_the_command_for_ci_runs_notebooks_and_tests_as_it_stands(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = python("docs/notebook-tests.md")
    for folder in ("notebooks", "tests"):
        Path(folder).mkdir()
    Path("tests/test_news.py").write_text(file.text)
    for name in ("06-time-machine.ipynb", "incident.jsonl"):
        shutil.copy(ROOT / "notebooks" / name, "notebooks")
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # No user of ours need have them, and they take seconds to load.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:playwright")
    by_hand, for_ci = (
        shlex.split(line)
        for block in BLOCKS["docs/notebook-tests.md"]
        for line in block.text.splitlines()
        if block.language == "sh" and line.startswith("pytest ")
    )
    assert set(by_hand) - {"lesson.ipynb"} < set(for_ci)
    done = subprocess.run(
        [sys.executable, "-m", *for_ci], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, "15 passed" in done.stdout) == (0, True), done.stdout


def test_the_magics_do_as_the_page_says(etcd: LocalEtcd) -> None:
    load, reaction = python("docs/magics.md")
    with running_kernel() as kernel:
        kernel.cell(load.text)
        kernel.cell(f"watcher = %etcd connect {etcd.url} --api v3")
        kernel.cell(reaction.text)
        said = kernel.text("%etcd put nokia hello\nawait watcher.sync_async()")
        assert said == "nokia is now hello\n"
        kernel.cell("%etcd del nokia")


def test_the_lines_of_the_format_are_of_the_format() -> None:
    (lines,) = [each for each in BLOCKS["docs/recording-format.md"] if each.language == "text"]
    for line in lines.text.splitlines():
        jsonschema.validate(json.loads(line), SCHEMA)
