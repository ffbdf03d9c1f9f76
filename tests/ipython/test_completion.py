"""Keys are completed from what is known already, without asking a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import etcd_watcher
from etcd_watcher import Watcher
from etcd_watcher.ipython.completion import COMMANDS, complete
from tests.fake_store import FakeStore


class Store(FakeStore):
    """Knows what was asked of it on the main thread, where a person types."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def reach(self, call: str) -> None:
        if threading.current_thread() is threading.main_thread():
            self.asked.append(call)
        super().reach(call)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    without_history = Config({"HistoryManager": {"enabled": False}})
    made = InteractiveShell.instance(config=without_history)
    etcd_watcher.load_ipython_extension(made)
    yield made
    etcd_watcher.unload_ipython_extension(made)
    InteractiveShell.clear_instance()


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    store = Store()
    with Watcher(store) as made:
        made.add_key("nokia")
        made.add_key(["jobs/", "app:"], prefix=True)
        store.commit(("jobs/a-1", "x"), ("jobs/good news", "x"), ("app:one", "x"))
        store.commit(("jobs/\x1b[2J", "x"))
        made.sync()
        store.asked.clear()
        yield made
        assert store.asked == []


LINES = [
    ("%etcd get no", ["%etcd get nokia"]),
    ("%etcd get jobs/a", ["%etcd get jobs/a-1"]),
    ("%etcd get jobs/a-", ["%etcd get jobs/a-1"]),
    ("%etcd del app:o", ["%etcd del app:one"]),
    ("%etcd put nok", ["%etcd put nokia"]),
    ("%etcd put nokia nok", []),
    ("%etcd watch nokia jobs/a", ["%etcd watch nokia jobs/a-1"]),
    ("%etcd get 'jobs/goo", ["%etcd get 'jobs/good news'"]),
    ("%etcd get unknown", []),
    ("%etcd watch --p", ["%etcd watch --prefix"]),
    ("%etcd jou", ["%etcd journal"]),
    ("%etcd journal --st", ["%etcd journal --stable"]),
    ("%%on_change no", ["%%on_change nokia"]),
    ("%%on_change --pre", ["%%on_change --prefix"]),
    ("%on_change --s", ["%on_change --stop"]),
]


@pytest.mark.parametrize(("line", "becomes"), LINES)
@pytest.mark.usefixtures("watcher")
def test_a_line_goes_on_with_what_is_known(line: str, becomes: list[str]) -> None:
    word = line.rpartition(" ")[2]
    typed = SimpleNamespace(symbol=word, text_until_cursor=line)
    assert [line[: -len(word)] + each for each in complete(None, typed)] == becomes


@pytest.mark.parametrize(("line", "becomes"), LINES)
@pytest.mark.usefixtures("watcher")
def test_ipython_offers_it(shell: InteractiveShell, line: str, becomes: list[str]) -> None:
    with provisionalcompleter():
        found = list(shell.Completer.completions(line, len(line)))
    completed = [line[: each.start] + each.text + line[each.end :] for each in found]
    assert set(becomes) <= set(completed)  # it has suggestions of its own, for any line


@pytest.mark.usefixtures("watcher")
def test_all_commands_are_offered() -> None:
    assert complete(None, SimpleNamespace(symbol="", text_until_cursor="%etcd ")) == list(COMMANDS)


def test_without_a_watcher_there_is_nothing_to_offer() -> None:
    assert complete(None, SimpleNamespace(symbol="no", text_until_cursor="%etcd get no")) == []
