"""What a server's version says of its watches."""

from __future__ import annotations

__all__ = ["forgets_deletions", "progress_is_barrier"]


def progress_is_barrier(version: str) -> bool:
    """Tell whether the answer to a request for progress comes after every event up to its revision.

    From 3.4.25 and 3.5.8 on it does; before, one in about 1,000 overtook an event under load.
    """
    parts = _parts(version)
    return parts >= (3, 5, 8) or (3, 4, 25) <= parts < (3, 5)


def forgets_deletions(version: str) -> bool:
    """Tell whether a compaction takes the deletions that were made in its own revision, too.

    Before 3.4.36 and 3.5.18 it does (etcd#19179), and still a watch may begin there.
    """
    parts = _parts(version)
    return not (parts >= (3, 5, 18) or (3, 4, 36) <= parts < (3, 5))


def _parts(version: str) -> tuple[int, ...]:
    """Give a version's numbers; none for one that is not known: such a server is taken for old."""
    try:
        return tuple(int(part) for part in version.split("-", maxsplit=1)[0].split("."))
    except ValueError:
        return ()
