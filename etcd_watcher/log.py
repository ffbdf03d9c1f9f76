"""Where this package logs: nothing is shown of it but warnings and errors, unless one asks."""

from __future__ import annotations

import logging

__all__ = ["logger"]

logger = logging.getLogger("etcd_watcher")
