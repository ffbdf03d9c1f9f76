"""The values before the events of a live watch: by the server, and later by ourselves.

A server that is asked for them reads each one from its backend, behind whatever it just writes
there: at 1,000 events a second the slowest hundredth of them took 5 to 10 ms, and 3 to 4.5 without.
Once we know what all keys of the range are worth there is nothing to ask for: the value before is
the one that we have told last. So a watch begins with values by the server. When it has told enough
to be worth it, it reads the range once, beside the watch, and goes on without. Where that would be
too much to remember it stays with the server, and it goes back when it has become too much.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from etcd_watcher.stores.v3_events import decode
from etcd_watcher.stores.v3_lineage import Lineage
from etcd_watcher.stores.v3_rows import rows
from etcd_watcher.stores.v3_survey import Survey

if TYPE_CHECKING:
    from etcd_watcher.event import Event
    from etcd_watcher.stores.v3_connection import Connection
    from etcd_watcher.stores.v3_target import Part

__all__ = ["Values"]

KNOWN_BYTES = 16 * 1024 * 1024
"""How much a watch remembers, in all its parts together, before it goes back to the server. It is
measured after each quarter of that, and grows by what is told until the server has made a second
watcher, mostly at once, else in 0.1 s. To begin with it may be half of that: nearly 20,000 keys with
small values."""

EVENTS_FIRST = 100
"""Events before it is worth the reading."""

KEYS_FOR_AN_EVENT = 8
"""Keys read for each event told before: a page of them costs the server far less than as many
values before, each in a read of its own."""


class Values:
    """Makes events of what one watch is told, with the values before.

    Parameters
    ----------
    connection : Connection
        The watch's.
    wanted : bool
        Whether anybody wants values before at all.
    in_parts : bool
        Whether we may find them ourselves where there are several parts. Not on old servers: for
        parts they are asked for progress so often that, while there was much to tell, a second
        watcher was not made for thousands of events.
    """

    def __init__(self, connection: Connection, *, wanted: bool, in_parts: bool = True) -> None:
        self.wanted = wanted
        self._in_parts = in_parts
        self._connection = connection

    def decode(self, part: Part, changes: Sequence[Any]) -> list[Event]:
        """Make events of the next response of a part, in so far as they are behind what was given.

        Raises
        ------
        ConnectionFailed, StoreClosed
            The server tells less than it must, and did not answer when asked for the rest.
        """
        if part.lineage is None:
            return decode(changes, part.given, self._connection)
        part.lineage.forget_leases()
        return part.lineage.decode(rows([each.kv for each in changes]), part.given, sys.maxsize)

    def learn(self, part: Part, events: Sequence[Event]) -> bool:
        """Take note of what a part has just given.

        Returns whether the values before should be found the other way from now on.
        """
        if not self.wanted or (len(part.target.parts) > 1 and not self._in_parts):
            return False
        most = KNOWN_BYTES // len(part.target.parts)
        if part.lineage is not None:
            return part.heir is not None or part.lineage.outgrows(most, events)
        part.told += len(events)
        survey = part.survey
        if survey is not None:
            survey.take(events)
            if survey.failed:
                self.put_off(part)
            return survey.complete
        # Not while the server feeds it the past: its heir would have the present at once.
        if part.told >= max(EVENTS_FIRST, part.survey_at) and part.behind_since is None:
            bounds = (part.told * KEYS_FOR_AN_EVENT, most // 2)
            part.survey = Survey(self._connection, part.scope, part.given, *bounds)
        return False

    def put_off(self, part: Part) -> None:
        """Leave a part to the server for as long again, and until its keys are worth reading."""
        keys = 0 if part.survey is None else part.survey.keys
        part.survey, part.survey_at = None, max(2 * part.told, keys // KEYS_FOR_AN_EVENT)

    def hand_on(self, part: Part, heir: Part) -> None:
        """Give what is known of a part to the one that has just replaced it."""
        if part.survey is not None:
            heir.lineage = Lineage(self._connection, part.survey.known)
