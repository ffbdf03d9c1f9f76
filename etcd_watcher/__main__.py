"""`python -m etcd_watcher` is the command `etcd-watcher`."""

from __future__ import annotations

import sys

from etcd_watcher.cli import main

if __name__ == "__main__":
    sys.exit(main())
