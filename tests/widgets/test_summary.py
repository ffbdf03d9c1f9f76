"""`watcher` as a cell's last expression."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.widgets.kernel import Kernel, running_kernel

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        yield kernel


SET_UP = """
from etcd_watcher import LocalEtcd, Subscriber, Watcher
etcd = LocalEtcd()
watcher = Watcher(etcd.url, api="v3")
watcher.register("secret-key", Subscriber("Luis"), "do_things")
"""

SUMMARIES = "from etcd_watcher.widgets.summary import _in_cells, _summaries"


def test_it_is_live_and_reads_as_ever_and_the_notebook_holds_no_value(kernel: Kernel) -> None:
    kernel.cell(SET_UP)
    (output,) = kernel.cell("watcher")
    assert set(output.data) == {VIEW, "text/html", "text/plain"}
    assert output.data["text/plain"] == "Watcher(v3, connected, 1 key)"
    kernel.cell('watcher.put("secret-key", "secret-value"); watcher.sync()')
    (output,) = kernel.cell("watcher")
    assert "secret-value" not in str(output)
    state = kernel.text(
        f"{SUMMARIES}; summary = _summaries[watcher]; print(summary.get_state(), summary._whole())"
    )
    traits, whole = state.split("} {")
    assert "secret" not in traits
    assert "secret-value" in whole
    assert "Luis" in whole


def test_all_cells_that_show_it_share_one_widget(kernel: Kernel) -> None:
    kernel.cell(SET_UP)
    views = [kernel.cell("watcher")[0].data[VIEW]["model_id"] for _ in range(3)]
    assert len(set(views)) == 1


def test_it_keeps_no_watcher_and_no_thread_when_that_is_closed(kernel: Kernel) -> None:
    kernel.cell(SET_UP)
    kernel.cell("watcher")
    source = f"""
    import gc, threading, time, weakref
    from etcd_watcher.interactive import living
    from etcd_watcher.widgets.renderer import renderer
    {SUMMARIES}
    summary = _summaries[watcher]
    kept = weakref.ref(watcher.journal)
    for each in living(Watcher):
        each.close()
    end = time.monotonic() + 10
    def threads():
        return [each.name for each in threading.enumerate() if "renderer" in each.name]
    while (renderer.views or threads()) and time.monotonic() < end:
        time.sleep(0.01)
    print(summary._told["state"], summary.ended)
    print(threads())
    """
    assert kernel.text(source) == "closed True\n[]\n"
    source = """
    del watcher, each
    for names in (globals(), get_ipython().user_ns_hidden):  # as %reset does
        for name in [name for name in names if name.startswith("_") and name[1:].isdigit()]:
            del names[name]
    Out.clear()
    """
    kernel.cell(source)
    for _ in range(4):  # IPython keeps what the last cells gave
        kernel.cell("1")
    assert kernel.text("gc.collect(); print(kept() is None, summary.watcher)") == "True None\n"


def test_without_widgets_it_is_the_table_that_it_was(kernel: Kernel) -> None:
    kernel.cell(SET_UP)
    kernel.cell("import sys; sys.modules['etcd_watcher.widgets.summary'] = None")
    (output,) = kernel.cell("watcher")
    kernel.cell("del sys.modules['etcd_watcher.widgets.summary']")
    assert set(output.data) == {"text/html", "text/plain"}
    assert "secret-key" in output.data["text/html"]
