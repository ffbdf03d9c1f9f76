"""A watcher as the options describe it, and word of its connection."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from etcd_watcher.cli.lines import say
from etcd_watcher.cli.words import for_a_shell
from etcd_watcher.event import Status
from etcd_watcher.journal import Journal
from etcd_watcher.watcher import Watcher

__all__ = ["connected", "password_for"]


@contextmanager
def connected(options: argparse.Namespace) -> Iterator[Watcher]:
    """Give a watcher, and say on standard error when its connection is lost and found again."""
    watcher = Watcher(
        options.endpoints,
        api=options.api,
        user=options.user,
        password=password_for(options),
        ca_cert=options.cacert,
        cert=options.cert,
        key=options.key_file,
    )
    teller = threading.Thread(
        target=_tell, args=(watcher.journal,), name="etcd_watcher-status", daemon=True
    )
    teller.start()
    try:
        yield watcher
    finally:
        watcher.close()
        teller.join()


def password_for(options: argparse.Namespace) -> str | None:
    """Give the password of the user in the options, asking for it as etcdctl does."""
    given: str | None = options.password
    if options.user is None or ":" in options.user or given is not None:
        return given
    if "ETCDCTL_PASSWORD" not in os.environ and sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass(f"Password of {options.user}: ")
    return None


def _tell(journal: Journal) -> None:
    cursor = journal.cursor(since=0)
    lost = False
    while not journal.closed:
        cursor.wait()
        for record in cursor.read():
            if not isinstance(record, Status):
                continue
            if record.state == "reconnecting" and not lost:
                reason = for_a_shell(record.reason)
                say(f"the connection to {record.endpoint} is lost: {reason}. Trying again")
            elif record.state == "connected" and lost:
                say(f"connected to {record.endpoint} again")
            lost = record.state == "reconnecting"
