"""A real etcd, or a cluster of them, for notebooks and tests, which goes when its owner goes."""

from etcd_watcher.local.certificates import Certificates
from etcd_watcher.local.cluster import LocalCluster
from etcd_watcher.local.faults import FaultImpossible, Faults
from etcd_watcher.local.member import Member
from etcd_watcher.local.process import StartFailed
from etcd_watcher.local.server import LocalEtcd
from etcd_watcher.local.users import Users

__all__ = [
    "Certificates",
    "FaultImpossible",
    "Faults",
    "LocalCluster",
    "LocalEtcd",
    "Member",
    "StartFailed",
    "Users",
]
