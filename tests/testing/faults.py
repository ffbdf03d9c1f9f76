"""Every way in which an honest stream can be made to lie, one lie at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import assume
from hypothesis import strategies as st

from etcd_watcher.event import Event, EventType, Gap
from etcd_watcher.stores.base import Batch
from etcd_watcher.testing import Complete
from tests.testing.worlds import OURS, Stream, World, event

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Draw:
    """What a lie draws from: hypothesis' choices, and a claim that the stream may carry."""

    data: st.DataObject

    def one_of(self, choices: Iterable[Choice]) -> Choice:
        """Choose; where there is nothing to choose from this world has no place for the lie."""
        found = list(choices)
        assume(found)
        return self.data.draw(st.sampled_from(found))


Lie = Callable[[Draw, World, Stream], Stream]


@dataclass(frozen=True)
class Fault:
    """A lie and the properties it breaks.

    Attributes
    ----------
    lie : callable
        Gives the stream with the lie in it.
    breaks : tuple of str
        One of these must be named…
    alone : bool
        …and none but these may be.
    of_gaps : bool
        There has to be a gap to lie about.
    needs_compactions : bool
        Without knowing where the server was compacted nobody can tell.
    """

    lie: Lie
    breaks: tuple[str, ...]
    alone: bool = False
    of_gaps: bool = False
    needs_compactions: bool = False

    @property
    def name(self) -> str:
        return self.lie.__name__


FAULTS: list[Fault] = []


def fault(
    *breaks: str, alone: bool = False, of_gaps: bool = False, needs_compactions: bool = False
) -> Callable[[Lie], Lie]:
    def note(lie: Lie) -> Lie:
        FAULTS.append(Fault(lie, breaks, alone, of_gaps, needs_compactions))
        return lie

    return note


# Places.


def told(stream: Stream) -> list[int]:
    return [at for at, each in enumerate(stream) if isinstance(each, Event) and not each.synthetic]


def made(stream: Stream) -> list[int]:
    return [at for at, each in enumerate(stream) if isinstance(each, Event) and each.synthetic]


def gaps(stream: Stream) -> list[int]:
    return [at for at, each in enumerate(stream) if isinstance(each, Gap)]


def event_at(stream: Stream, place: int) -> Event:
    found = stream[place]
    assert isinstance(found, Event)
    return found


def gap_at(stream: Stream, place: int) -> Gap:
    found = stream[place]
    assert isinstance(found, Gap)
    return found


def replaced(stream: Stream, place: int, *records: Event | Gap | Complete) -> Stream:
    return [*stream[:place], *records, *stream[place + 1 :]]


def inserted(stream: Stream, place: int, record: Event | Gap | Complete | Batch) -> Stream:
    return [*stream[:place], record, *stream[place:]]


def altered(stream: Stream, place: int, **fields: object) -> Stream:
    return replaced(stream, place, event_at(stream, place)._replace(**fields))  # type: ignore[arg-type]


def puts(stream: Stream, places: Sequence[int]) -> list[int]:
    return [place for place in places if event_at(stream, place).raw_value is not None]


def deletions(stream: Stream, places: Sequence[int]) -> list[int]:
    return [place for place in places if event_at(stream, place).raw_value is None]


def other(raw: bytes | None) -> bytes:
    return (raw or b"") + b"!"


# Events too few.


@fault("reliable", "resumable", "atomic", "bookmarkable")
def drops_an_event(draw: Draw, world: World, stream: Stream) -> Stream:
    return replaced(stream, draw.one_of(told(stream)))


@fault("reliable", "resumable", "bookmarkable", alone=True)
def loses_a_transaction(draw: Draw, world: World, stream: Stream) -> Stream:
    lost = event_at(stream, draw.one_of(told(stream))).revision
    return [
        each
        for each in stream
        if not isinstance(each, Event) or each.synthetic or each.revision != lost
    ]


@fault("resumable", "bookmarkable", alone=True)
def begins_late(draw: Draw, world: World, stream: Stream) -> Stream:
    """Drop the first transactions, up to a place where there are others behind them."""
    honest = [place for place in told(stream) if all(place < gap for gap in gaps(stream))]
    revisions = sorted({event_at(stream, place).revision for place in honest})
    begin = draw.one_of(revisions[1:])
    return [each for each in stream if not isinstance(each, Event) or each.revision >= begin]


@fault("reliable", alone=True)
def ends_early(draw: Draw, world: World, stream: Stream) -> Stream:
    revisions = sorted({event_at(stream, place).revision for place in told(stream)})
    assume(not gaps(stream))
    end = draw.one_of(revisions[1:])
    return [each for each in stream if isinstance(each, Event) and each.revision < end]


@fault("reliable", "resumable", "bookmarkable", alone=True, of_gaps=True)
def declares_no_gap(draw: Draw, world: World, stream: Stream) -> Stream:
    """Leave out a gap in which something is lost, and its synthetic events."""
    place = draw.one_of(gaps(stream))
    gap = gap_at(stream, place)
    behind = place + 1
    while behind < len(stream) and behind in made(stream):
        behind += 1
    assume(world.loses(gap.first, gap.last))
    return [*stream[:place], *stream[behind:]]


# Events too many, or in the wrong place.


@fault("unique", alone=True)
def repeats_an_event(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(told(stream) + made(stream))
    return inserted(stream, place, stream[place])


@fault("unique")
def repeats_an_event_later(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(told(stream))
    return inserted(stream, draw.one_of(range(place + 1, len(stream) + 1)), stream[place])


@fault("ordered")
def swaps_two_events(draw: Draw, world: World, stream: Stream) -> Stream:
    neighbours = [place for place in told(stream) if place + 1 in told(stream)]
    place = draw.one_of(neighbours)
    return [*stream[:place], stream[place + 1], stream[place], *stream[place + 2 :]]


@fault("ordered")
def tells_an_event_late(draw: Draw, world: World, stream: Stream) -> Stream:
    places = told(stream)
    place = draw.one_of(places[:-1])
    later = draw.one_of([each for each in places if each > place])
    return [*stream[:place], *stream[place + 1 : later + 1], stream[place], *stream[later + 1 :]]


@fault("filter", alone=True)
def tells_of_a_foreign_key(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(told(stream))
    revision = event_at(stream, place).revision
    return inserted(stream, place, event(b"foreign", b"1", revision, None, revision, 1))


@fault("resumable")
def begins_before_it_was_asked_to(draw: Draw, world: World, stream: Stream) -> Stream:
    early = [
        each
        for each in world.events
        if each.revision < world.since and each.raw_key.startswith(b"k/")
    ]
    return [draw.one_of(early), *stream]


@fault("genuine")
def makes_a_change_up(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(told(stream))
    revision = event_at(stream, place).revision
    return inserted(stream, place + 1, event(b"k/nobody", b"1", revision, None, revision, 1))


@fault("atomic", alone=True)
def splits_a_transaction(draw: Draw, world: World, stream: Stream) -> Stream:
    """End a batch in the middle of a transaction."""
    places = [
        place
        for place in told(stream)
        if place + 1 in told(stream)
        and event_at(stream, place).revision == event_at(stream, place + 1).revision
    ]
    place = draw.one_of(places)
    return inserted(stream, place + 1, Batch(OURS))


# Events that say something else.


@fault("genuine", alone=True)
def gives_another_value(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(puts(stream, told(stream)))
    return altered(stream, place, raw_value=other(event_at(stream, place).raw_value))


@fault("genuine", alone=True)
def tells_a_put_as_a_deletion(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(puts(stream, told(stream)))
    fields = {"type": EventType.DELETE, "raw_value": None, "created": 0, "version": 0}
    return altered(stream, place, **fields)


@fault("genuine", alone=True)
def tells_a_deletion_as_an_empty_put(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(deletions(stream, told(stream)))
    return altered(stream, place, type=EventType.PUT, raw_value=b"")


@fault("previous-value", alone=True)
def gives_another_value_before(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(told(stream))
    return altered(stream, place, raw_prev_value=other(event_at(stream, place).raw_prev_value))


@fault("is-create", alone=True)
def gives_another_beginning(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(told(stream))
    wrong = draw.one_of([event_at(stream, place).revision + 1, -1])
    return altered(stream, place, created=wrong)


@fault("is-create", alone=True)
def takes_an_update_for_a_creation(draw: Draw, world: World, stream: Stream) -> Stream:
    updates = [place for place in told(stream) if event_at(stream, place).version > 1]
    place = draw.one_of(updates)
    return altered(stream, place, created=event_at(stream, place).revision, version=1)


@fault("is-create", alone=True)
def gives_another_version(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(told(stream))
    version = event_at(stream, place).version
    return altered(stream, place, version=draw.one_of({0, 1, version + 1} - {version}))


# Claims.


@fault("bookmarkable", alone=True)
def claims_to_be_complete_early(draw: Draw, world: World, stream: Stream) -> Stream:
    """Claim an event's own revision before its transaction."""
    place = draw.one_of(told(stream))
    revision = event_at(stream, place).revision
    while place and place - 1 in told(stream) and event_at(stream, place - 1).revision == revision:
        place -= 1
    return inserted(stream, place, Complete(draw.one_of(range(revision, world.last + 1))))


@fault("bookmarkable", alone=True)
def claims_less_than_was_told(draw: Draw, world: World, stream: Stream) -> Stream:
    """Claim, behind a whole transaction, to be complete up to what was before it."""
    place = draw.one_of(
        [
            place
            for place in told(stream)
            if place + 1 == len(stream)
            or not isinstance(behind := stream[place + 1], Event)
            or behind.revision != event_at(stream, place).revision
        ]
    )
    return inserted(
        stream, place + 1, Complete(draw.one_of(range(event_at(stream, place).revision)))
    )


@fault("bookmarkable", alone=True)
def claims_less_than_was_claimed(draw: Draw, world: World, stream: Stream) -> Stream:
    """Claim all, and then less."""
    return [*stream, Complete(world.last), Complete(draw.one_of(range(world.last)))]


@fault("bookmarkable", alone=True)
def claims_what_is_not_there_yet(draw: Draw, world: World, stream: Stream) -> Stream:
    return [*stream, Complete(world.last + 1)]


@fault("bookmarkable", alone=True, of_gaps=True)
def claims_a_gap_before_its_truth(draw: Draw, world: World, stream: Stream) -> Stream:
    """Claim to be complete between a gap and its synthetic events."""
    place = draw.one_of([place for place in gaps(stream) if place + 1 in made(stream)])
    gap = gap_at(stream, place)
    return inserted(stream, place + 1, Complete(draw.one_of(range(gap.first, gap.last + 1))))


# Gaps.


@fault("gaps", alone=True)
def declares_as_lost_what_is_told(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(told(stream))
    revision = event_at(stream, place).revision
    behind = place + 1
    while behind in told(stream) and event_at(stream, behind).revision == revision:
        behind += 1
    return inserted(stream, behind, Gap(revision, revision, "a lie"))


@fault("gaps", of_gaps=True)
def declares_a_gap_too_late(draw: Draw, world: World, stream: Stream) -> Stream:
    """Give the events behind a gap first."""
    place = draw.one_of(gaps(stream))
    end = place + 1
    while end in made(stream):
        end += 1
    behind = [at for at in told(stream) if at >= end]
    assume(behind)
    return [*stream[:place], *stream[end:], *stream[place:end]]


@fault("gaps", "reliable", "resumable", needs_compactions=True, of_gaps=True)
def is_off_by_one(draw: Draw, world: World, stream: Stream) -> Stream:
    """Move an end of a gap by one revision, across a change of ours."""
    place = draw.one_of(gaps(stream))
    gap = gap_at(stream, place)
    first, last, crossed = draw.one_of(
        [
            (gap.first - 1, gap.last, gap.first - 1),
            (gap.first + 1, gap.last, gap.first),
            (gap.first, gap.last + 1, gap.last + 1),
            (gap.first, gap.last - 1, gap.last),
        ]
    )
    assume(world.loses(crossed, crossed) or crossed < world.since)
    return replaced(stream, place, Gap(first, last, gap.reason))


@fault("gaps", alone=True, of_gaps=True)
def leaves_out_a_synthetic_deletion(draw: Draw, world: World, stream: Stream) -> Stream:
    return replaced(stream, draw.one_of(deletions(stream, made(stream))))


@fault("gaps", alone=True, of_gaps=True)
def leaves_out_a_synthetic_put(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(puts(stream, made(stream)))
    return replaced(stream, place)


@fault("gaps", alone=True, of_gaps=True)
def resyncs_to_another_value(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(puts(stream, made(stream)))
    return altered(stream, place, raw_value=other(event_at(stream, place).raw_value))


@fault("gaps", alone=True, of_gaps=True)
def resyncs_to_another_life(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(puts(stream, made(stream)))
    was = event_at(stream, place)
    wrong = draw.one_of([{"created": was.created + 1}, {"version": was.version + 1}])
    return altered(stream, place, **wrong)


@fault("gaps", of_gaps=True)
def resyncs_to_another_revision(draw: Draw, world: World, stream: Stream) -> Stream:
    """A deletion may bear an earlier one: that of the true deletion."""
    place = draw.one_of(made(stream))
    was = event_at(stream, place)
    by = 1 if was.raw_value is None else draw.one_of([-1, 1])
    return altered(stream, place, revision=was.revision + by)


@fault("gaps", alone=True, of_gaps=True)
def resyncs_a_key_that_did_not_change(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(gaps(stream))
    at = gap_at(stream, place).last + 1
    end = place + 1
    while end in made(stream):
        end += 1
    extra = event(b"k/nobody", draw.one_of([None, b"1"]), at, synthetic=True)
    return inserted(stream, end, extra)


@fault("gaps")
def makes_an_event_up_without_a_gap(draw: Draw, world: World, stream: Stream) -> Stream:
    place = draw.one_of(told(stream))
    revision = event_at(stream, place).revision
    return inserted(stream, place + 1, event(b"k/nobody", b"1", revision, synthetic=True))


@fault("gaps", of_gaps=True)
def keeps_the_synthetic_events_but_not_the_gap(draw: Draw, world: World, stream: Stream) -> Stream:
    places = [place for place in gaps(stream) if place + 1 in made(stream)]
    return replaced(stream, draw.one_of(places))


@fault("gaps", of_gaps=True)
def passes_synthetic_events_off_as_told(draw: Draw, world: World, stream: Stream) -> Stream:
    ours = puts(stream, made(stream))
    within = {
        place
        for place in ours
        for gap in world.compactions
        if gap[0] <= event_at(stream, place).revision < gap[1]
    }
    return altered(stream, draw.one_of(sorted(within)), synthetic=False)


@fault("gaps")
def passes_told_events_off_as_synthetic(draw: Draw, world: World, stream: Stream) -> Stream:
    return altered(stream, draw.one_of(told(stream)), synthetic=True)
