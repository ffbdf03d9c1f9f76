"""The magics, in a kernel and on a real etcd."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from etcd_watcher import LocalEtcd
from tests.widgets.kernel import Kernel, running_kernel


@pytest.fixture(scope="module")
def shared_kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        kernel.cell("%load_ext etcd_watcher")
        yield kernel


@pytest.fixture
def kernel(shared_kernel: Kernel, etcd: LocalEtcd, fresh_key: str) -> Kernel:
    """A kernel with the magics, a watcher of its own, and `KEY` for a key of its own."""
    shared_kernel.cell(
        f"""
        from etcd_watcher import Watcher
        KEY = {fresh_key!r}
        watcher = Watcher({etcd.url!r}, api="v3")
        """
    )
    return shared_kernel


def shown(outputs: list[nbformat.NotebookNode]) -> list[str]:
    """Give the text of each output."""
    return [each.get("text") or each.data["text/plain"] for each in outputs]


def failure(kernel: Kernel, source: str) -> str:
    """Run a cell that fails, and give what a person is shown of it."""
    with pytest.raises(CellExecutionError) as failed:
        kernel.cell(source)
    return str(failed.value).partition("------------------\n\n\n")[2].strip()


def test_keys_are_written_read_listed_and_deleted(kernel: Kernel) -> None:
    assert shown(kernel.cell("%etcd put $KEY 'good news'\n%etcd get $KEY")) == ["'good news'"]
    kernel.cell("%etcd put {KEY}/a 1\n%etcd put {KEY}/b 2")
    assert kernel.text("print(KEY)\n%etcd ls $KEY") == 2 * kernel.text("print(KEY)") + (
        kernel.text("print(f'{KEY}/a\\n{KEY}/b')")
    )
    assert kernel.text("%etcd ls {KEY}/ --limit 1").endswith("/a\n… and more: --limit 10\n")
    assert shown(kernel.cell("%etcd del {KEY}/ --prefix")) == ["2"]
    assert kernel.cell("%etcd get {KEY}/a") == []


def test_a_ttl_is_a_ttl(kernel: Kernel) -> None:
    kernel.cell("%etcd put $KEY soon-gone --ttl 600")
    assert shown(kernel.cell("watcher.read(KEY).lease > 0")) == ["True"]


def test_what_is_watched_is_in_the_journal_and_in_a_live_table(kernel: Kernel) -> None:
    assert shown(kernel.cell("%etcd watch $KEY --prefix")) == ["EventLog()"]
    kernel.cell("%etcd put $KEY one\nwatcher.sync()")
    table = kernel.text("%etcd journal --stable").splitlines()
    assert [line.split() for line in table] == [
        ["revision", "type", "key", "value"],
        ["r1", "PUT", kernel.text("print(KEY)").strip(), "one"],
    ]


def test_a_connection_is_a_watcher_that_the_magics_then_use(
    kernel: Kernel, etcd: LocalEtcd
) -> None:
    assert shown(kernel.cell(f"mine = %etcd connect {etcd.url} --api v2\nmine.api")) == ["'v2'"]
    kernel.cell("%etcd put $KEY on-v2")
    assert shown(kernel.cell("mine.get(KEY), watcher.get(KEY)")) == ["('on-v2', None)"]
    kernel.cell(f"%etcd connect {etcd.url} --api v3")
    assert shown(kernel.cell("mine.status.state")) == ["'closed'"]
    assert kernel.cell("%etcd get $KEY") == []


def test_a_cell_runs_at_each_change(kernel: Kernel) -> None:
    kernel.cell(
        """
        %%on_change $KEY
        import asyncio
        await asyncio.sleep(0)
        seen = event
        print("news:", event.value)
        event.value.upper()
        """
    )
    outputs = kernel.cell("%etcd put $KEY one\n%etcd put $KEY two\nawait watcher.sync_async()")
    assert shown(outputs) == ["news: one\n", "'ONE'", "news: two\n", "'TWO'"]
    assert shown(kernel.cell("seen.value, seen is event")) == ["('two', True)"]


def test_a_cells_last_value_can_be_silenced(kernel: Kernel) -> None:
    kernel.cell("%%on_change $KEY\nevent.value;")
    assert kernel.cell("%etcd put $KEY one\nawait watcher.sync_async()") == []


def test_a_cell_that_is_run_again_takes_its_own_place(kernel: Kernel) -> None:
    for word in ("first", "second"):
        kernel.cell(f"%%on_change $KEY\nprint({word!r})")
    assert shown(kernel.cell("%etcd put $KEY x\nawait watcher.sync_async()")) == ["second\n"]


def test_a_cell_that_cannot_be_compiled_leaves_the_earlier_one(kernel: Kernel) -> None:
    kernel.cell("%%on_change $KEY\nprint('earlier')")
    complaint = failure(kernel, "%%on_change $KEY\nx = (")
    assert complaint.endswith("SyntaxError: '(' was never closed")
    assert "reaction.py" not in complaint
    assert shown(kernel.cell("%etcd put $KEY x\nawait watcher.sync_async()")) == ["earlier\n"]


def test_a_cell_that_raises_is_told_and_runs_again(kernel: Kernel) -> None:
    kernel.cell("%%on_change $KEY\nprint(1 / int(event.value))")
    outputs = kernel.cell("%etcd put $KEY 0\n%etcd put $KEY 1\nawait watcher.sync_async()")
    printed = "".join(each.text for each in outputs if each.name == "stdout")
    complaint = "".join(each.text for each in outputs if each.name == "stderr")
    assert printed == "1.0\n"
    assert "on_change('test-" in complaint
    assert "print(1 / int(event.value))" in complaint
    assert "ZeroDivisionError" in complaint


def test_cells_that_run_at_changes_are_listed_and_ended(kernel: Kernel) -> None:
    kernel.cell("%on_change --stop")
    kernel.cell("%%on_change $KEY other\nprint('exact')")
    kernel.cell("%%on_change $KEY --prefix\nprint('prefix')")
    listed = kernel.text("%on_change").splitlines()
    key = kernel.text("print(KEY)").strip()
    assert listed == [f"on_change({key!r}, 'other')", f"on_change({key!r}…)"]
    kernel.cell("%on_change --stop other")
    assert shown(kernel.cell("%etcd put $KEY x\nawait watcher.sync_async()")) == ["prefix\n"]
    kernel.cell("%on_change --stop")
    assert kernel.cell("%etcd put $KEY y\nawait watcher.sync_async()\n%on_change") == []
    assert shown(kernel.cell("watcher.keys")) == ["[]"]


def test_a_closed_watchers_cells_are_not_listed(kernel: Kernel) -> None:
    kernel.cell("%on_change --stop")
    kernel.cell("%%on_change $KEY\nprint(1)")
    kernel.cell("watcher.close()")
    assert kernel.cell("%on_change") == []


def test_errors_are_shown_in_a_line_and_are_errors(kernel: Kernel) -> None:
    for source, complaint in [
        ("%etcd foo", "UsageError: argument command: invalid choice: 'foo'"),
        ("%etcd put key", "UsageError: the following arguments are required: value"),
        ("%etcd put key good news", "UsageError: unrecognized arguments: news"),
        ("%etcd put key 'good", "UsageError: No closing quotation"),
        ("%etcd put key x --ttl soon", "UsageError: argument --ttl: invalid int value: 'soon'"),
        ("%etcd put key x --ttl 0", "ValueError: ttl=0: give whole seconds"),
        ("%etcd get ''", "ValueError: a key is empty: name one"),
        ("%etcd connect 127.0.0.1:1", "ConnectionFailed: no etcd server answered at"),
        ("%%on_change\nprint(1)", "UsageError: name a key"),
        ("%on_change key", "UsageError: there is no cell to run"),
        ("%on_change --stop nobody's", "UsageError: No closing quotation"),
        ("%on_change --stop nokia", "UsageError: no cell runs at changes of nokia: %on_change"),
    ]:
        told = failure(kernel, source)
        assert told.startswith(complaint), told
        assert complaint.startswith("ConnectionFailed") or "\n" not in told
        assert "Traceback" not in told


def test_without_a_watcher_the_way_to_one_is_said() -> None:
    with running_kernel() as kernel:
        kernel.cell("%load_ext etcd_watcher")
        told = failure(kernel, "%etcd get key")
        assert told.startswith("NoWatcher: there is no watcher yet: %etcd connect")
        assert "%etcd put KEY VALUE" in kernel.text("%etcd")
        kernel.cell("%unload_ext etcd_watcher")
        with pytest.raises(CellExecutionError, match=r"%etcd. not found"):
            kernel.cell("%etcd")
        kernel.cell("%load_ext etcd_watcher\n%etcd help")
