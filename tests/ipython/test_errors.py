"""What a notebook shows of an expectation that fails: the cell, not how we found out."""

from __future__ import annotations

import re

from etcd_watcher import LocalEtcd
from tests.ipython.test_magics import failure
from tests.widgets.kernel import running_kernel

SETTING = """
from etcd_watcher import Watcher
from etcd_watcher.expect import put
watcher = Watcher({url!r}, api="v3")
watcher.add_key({key!r})

def helper(key):
    watcher.expect(put(key, "hello"), within=0.01)
"""


def plain(text: str) -> str:
    """Give a text without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_the_traceback_ends_in_the_cell(etcd: LocalEtcd, fresh_key: str) -> None:
    with running_kernel() as kernel:
        kernel.cell(SETTING.format(url=etcd.url, key=fresh_key))
        for source, message in [
            (f"watcher.expect(put({fresh_key!r}), within=0.01)", "ExpectationFailed: what was"),
            (f"watcher.wait_for({fresh_key!r}, timeout=0.01)", "TimedOut: after 0.01 s"),
            (f"await watcher.wait_for_async({fresh_key!r}, timeout=0.01)", "TimedOut: after"),
            (f"helper({fresh_key!r})", "ExpectationFailed: what was"),
        ]:
            shown = plain(failure(kernel, source))
            assert source in shown
            assert message in shown
            assert re.findall(r"\w+\.py", shown) == [], shown
            assert shown.count("in helper(") == source.startswith("helper")

        # The server is gone.
        kernel.cell("from etcd_watcher import LocalEtcd")
        kernel.cell("own = LocalEtcd(); other = Watcher(own, request_timeout=0.5); own.kill()")
        source = f"other.put({fresh_key!r}, 'x')"
        shown = plain(failure(kernel, source))
        assert source in shown
        assert "no etcd server answered" in shown
        assert re.findall(r"\w+\.py", shown) == [], shown
        assert "direct cause" not in shown
        kernel.cell("other.close(); own.stop()")

        # An error of the person's own is shown as ever.
        kernel.cell(f"watcher.put({fresh_key!r}, 'x')")
        source = f"watcher.wait_for({fresh_key!r}, lambda event: event.nonsense)"
        shown = plain(failure(kernel, source))
        assert source in shown
        assert "AttributeError: 'Event' object has no attribute 'nonsense'" in shown
