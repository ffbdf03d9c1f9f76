"""Connections that a fork inherits: they stay its parent's, and it makes others where it needs some.

Both have the same socket. Whatever the child sent there, or took from it, would be missing from what
its parent and the server say to each other; and a lock that another thread held at the fork is never
released in the child, where that thread is not.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["Inherited", "keep_from_forks"]


class Inherited(Protocol):
    """What a child must not use as it was."""

    def abandon(self) -> None:
        """Let go of it, here, and without a word to anybody else."""
        ...


_ALL: WeakSet[Inherited] = WeakSet()


def keep_from_forks(made: Inherited) -> None:
    """Have something abandoned in every process that this one forks."""
    _ALL.add(made)


def _abandon_all() -> None:
    for each in list(_ALL):
        each.abandon()


if hasattr(os, "register_at_fork"):  # there are no forks on Windows
    os.register_at_fork(after_in_child=_abandon_all)
