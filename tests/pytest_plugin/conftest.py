"""What pytest's runs within these tests need is imported once, here.

`pytester` forgets the modules that such a run imports, and the next one would have half of them
twice.
"""

from __future__ import annotations

import etcd_watcher.pytest_plugin.report
import etcd_watcher.pytest_plugin.shared
import etcd_watcher.recording.file
import etcd_watcher.stores.v2
import etcd_watcher.stores.v3  # noqa: F401
