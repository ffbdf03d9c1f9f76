"""A real etcd for notebooks and tests, which goes when its owner goes."""

from etcd_watcher.local.server import LocalEtcd, StartFailed

__all__ = ["LocalEtcd", "StartFailed"]
