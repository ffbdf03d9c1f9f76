"""What a mailbox that lags is given: from the journal, for as long as that has it.

All of it happens under the demux's lock: between the last event that is taken from the journal and
the first that the demux puts in, none may come.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from etcd_watcher.event import Event, Gap, Record, Status
from etcd_watcher.journal import Journal
from etcd_watcher.keys import KeyRange
from etcd_watcher.mailbox import MAILBOX_BYTES, Mailbox
from etcd_watcher.subscriber import shown

__all__ = ["end_lag", "fill", "refill"]

REST = 10_000
"""Records that a mailbox is given at a time of what the journal has of replaced data."""


def refill(mailbox: Mailbox, journal: Journal, limit: int) -> bool:
    """Give a mailbox its next events from the journal, and make it live at the end.

    Returns False when the journal no longer has them, or never had.
    """
    start = mailbox.lag_from
    if start is None:
        return True
    if start < mailbox.covered_from or start <= journal.forgotten:
        return False
    # What is taken out stays here when the journal has forgotten it.
    average = journal.size // max(1, len(journal))
    limit = min(limit, max(1, MAILBOX_BYTES // max(1, average)))
    records, at_end = journal.since(start, limit)
    while not at_end and _is_resync(records[-1]):
        # What brings every key to its true value is told whole, or not at all.
        more, at_end = journal.since(_newest(records) + 1, limit)
        records += more
    fill(mailbox, [each for each in records if isinstance(each, Event)])
    mailbox.lag_from = None if at_end else _newest(records) + 1
    if at_end:
        # History may have told what the feed has still to come to.
        for subscription in mailbox.subscriptions:
            subscription.start = max(subscription.start, start - 1)
    return True


def _is_resync(record: Record) -> bool:
    return isinstance(record, Event) and record.synthetic


def _newest(records: Sequence[Record]) -> int:
    """Give the newest revision among records of a journal."""
    return max(
        (each.revision if isinstance(each, Event) else each.first)
        for each in records
        if not isinstance(each, Status)
    )


def fill(mailbox: Mailbox, events: Sequence[Event], scope: KeyRange | None = None) -> None:
    """Put events in a mailbox that lags, past its bound where a batch is larger.

    With `scope` they are in revision order, and all of that range.
    """
    if len(mailbox) == 1:
        # Mostly one key or prefix: without a call for each event, five times as fast.
        (subscription,) = mailbox.subscriptions
        if subscription.scope == scope and events and events[0].revision > subscription.start:
            mailbox.queue.extend(zip(events, repeat(subscription)))  # ten times
            return
        start, end, after = subscription.scope.start, subscription.scope.end, subscription.start
        mailbox.queue.extend(
            [
                (event, subscription)
                for event in events
                if event.revision > after
                and start <= event.raw_key
                and (end is None or event.raw_key < end)
            ]
        )
        return
    mailbox.queue.extend(
        (event, subscription) for event in events for subscription in mailbox.match(event)
    )


def end_lag(mailbox: Mailbox, journal: Journal, complete: int) -> None:
    """Give a mailbox what the journal still has of data that was replaced, and a gap for the rest.

    `complete` is the revision up to which that data was published.
    """
    start = mailbox.lag_from
    while mailbox.lag_from is not None and refill(mailbox, journal, REST):
        pass
    if mailbox.lag_from is None or start is None:
        return
    gap = Gap(start, max(start, complete), "the server's data was replaced", shown(mailbox.who))
    journal.append([gap])
    mailbox.delivery.gaps.append(gap)
    mailbox.lag_from = None
