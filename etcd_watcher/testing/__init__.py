"""Check a recorded stream of events, of any store or client, against what was committed.

The properties are those of etcd's watch API guarantees, as etcd's own robustness tests check them,
and what this package promises beyond: that whatever is lost is in a declared gap, and that the
truth follows it. `check` gives what a stream breaks; `assert_valid` fails. One function for each
property stands in `PROPERTIES`, and says in its docstring what the property is.

Examples
--------
>>> from etcd_watcher import Watcher
>>> from etcd_watcher.testing import KeyRange, Write, assert_valid, from_writes, put
>>>
>>> with Watcher(etcd.url, api="v3") as watcher:
...     watcher.add_key("nokia")
...     writes = [Write(watcher.put("nokia", v), [put("nokia", v)]) for v in "abc"]
...     watcher.sync()
...     history = from_writes(writes)
...     scope = KeyRange.of_key(b"nokia")
...     assert_valid(watcher.journal, history, scope=scope, since=1, until=history.last)
"""

from __future__ import annotations

from etcd_watcher.keys import KeyRange
from etcd_watcher.testing.check import PROPERTIES, assert_valid, check
from etcd_watcher.testing.evidence import Complete, Evidence
from etcd_watcher.testing.history import ALL, Change, History, Transaction, event, put
from etcd_watcher.testing.violation import Violation
from etcd_watcher.testing.writes import Delete, Write, acknowledged, delete, from_writes

__all__ = [
    "ALL",
    "PROPERTIES",
    "Change",
    "Complete",
    "Delete",
    "Evidence",
    "History",
    "KeyRange",
    "Transaction",
    "Violation",
    "Write",
    "acknowledged",
    "assert_valid",
    "check",
    "delete",
    "event",
    "from_writes",
    "put",
]
