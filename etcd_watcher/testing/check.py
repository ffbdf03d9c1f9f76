"""All properties at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from etcd_watcher.event import Gap
from etcd_watcher.table import plural
from etcd_watcher.testing.completeness import bookmarkable, reliable, resumable
from etcd_watcher.testing.contents import genuine, is_create, previous_value
from etcd_watcher.testing.evidence import Evidence, Item, Scope
from etcd_watcher.testing.gaps import gaps as gaps_property
from etcd_watcher.testing.history import History
from etcd_watcher.testing.shape import atomic, filtered, ordered, unique
from etcd_watcher.testing.violation import Violation

__all__ = ["PROPERTIES", "assert_valid", "check"]

PROPERTIES: Mapping[str, Callable[[Evidence], Iterator[Violation]]] = MappingProxyType(
    {
        "filter": filtered,
        "ordered": ordered,
        "unique": unique,
        "atomic": atomic,
        "resumable": resumable,
        "reliable": reliable,
        "bookmarkable": bookmarkable,
        "genuine": genuine,
        "is-create": is_create,
        "previous-value": previous_value,
        "gaps": gaps_property,
    }
)
"""Each property's validator by its name, in the order in which `check` asks them."""


def check(  # noqa: PLR0913 - the stream, the truth, and what was asked for
    stream: Iterable[Item],
    history: History,
    *,
    scope: Scope,
    since: int | None,
    until: int | None = None,
    gaps: Iterable[Gap] = (),
) -> list[Violation]:
    """Compare a recorded stream with the ground truth, property by property.

    Parameters
    ----------
    stream : iterable
        What came, in order: events and gaps as a `Journal` holds them (statuses are passed over),
        and between them, where the source makes such claims, `Complete(revision)`. Or what a
        store's `Watch.read` gave: each `Batch` whole.
    history : History
        The ground truth.
    scope : KeyRange, iterable of KeyRange, or mapping of KeyRange to int
        The keys that were asked for. A mapping gives each range the first revision that was asked
        for of it, for a watcher that added keys as it went.
    since : int or None
        The first revision that was asked for, of any range. None for a stream that began wherever
        it did: it is then not held to a beginning.
    until : int, optional
        A revision up to which the stream must have come. Without it a stream may end anywhere,
        and nobody notices the loss of its last events.
    gaps : iterable of Gap
        Gaps that were declared elsewhere, as when the stream is what a callback got, and the gaps
        are in the watcher's journal. They are taken to stand before the first event that they are
        not behind.

    Returns
    -------
    list of Violation
        In the order of `PROPERTIES`, and of the stream within each. Empty for a stream that keeps
        them all.

    Raises
    ------
    ValueError
        The history cannot tell: it does not reach from `since` to `until`.

    Examples
    --------
    >>> violations = check(watcher.journal, history, scope=KeyRange.of_prefix(b"nokia"), since=1)
    >>> collections.Counter(each.name for each in violations)
    Counter()
    """
    evidence = Evidence(stream, history, scope=scope, since=since, until=until, gaps=gaps)
    return [violation for validate in PROPERTIES.values() for violation in validate(evidence)]


def assert_valid(  # noqa: PLR0913 - as `check`
    stream: Iterable[Item],
    history: History,
    *,
    scope: Scope,
    since: int | None,
    until: int | None = None,
    gaps: Iterable[Gap] = (),
    show: int = 10,
) -> None:
    """Check a stream and fail, as an `assert` does, if it breaks any property.

    The parameters are those of `check`; `show` is how many violations the message has.

    Raises
    ------
    AssertionError
        It names how many there are of each property, and the first few.
    """
    violations = check(stream, history, scope=scope, since=since, until=until, gaps=gaps)
    if violations:
        raise AssertionError(_report(violations, show))


def _report(violations: list[Violation], show: int) -> str:
    counts = Counter(each.name for each in violations)
    kinds = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    lines = [f"{plural(len(violations), 'violation')} ({kinds}):"]
    lines += [f"  {violation}" for violation in violations[:show]]
    if len(violations) > show:
        lines.append(f"  … and {len(violations) - show:,} more")
    return "\n".join(lines)
