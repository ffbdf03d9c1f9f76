"""Holding what comes against what was expected, and telling where they part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from etcd_watcher.event import Event
from etcd_watcher.expect import Change, Objection, described
from etcd_watcher.keys import KeyRange
from etcd_watcher.table import plural

__all__ = ["Expectation", "Wanted"]

SHOWN = 12
"""Events that a failure shows beside each other where nothing is expected of them."""


@dataclass(slots=True, eq=False)
class Wanted:
    """One change that is expected, and what came for it.

    Attributes
    ----------
    change : Change
    scope : KeyRange
        The raw keys that it may be of.
    start : int
        The first position of the journal at which it may be.
    place, event
        Where in the journal it was found, and what; None until then.
    """

    change: Change
    scope: KeyRange
    start: int
    place: int | None = None
    event: Event | None = None

    def objection(self, event: Event) -> Objection | None:
        """Say why an event is not this change; None where it is."""
        if event.raw_key not in self.scope:
            return Objection(-1, f"it is of another key than {self.change}")
        return self.change.objection(event)


@dataclass(slots=True)
class Expectation:
    """How far what was expected has come. Events are offered to it in their order.

    Attributes
    ----------
    steps : sequence of list of Wanted
        What is to come one after the other; those of one list in any order.
    strict : bool
        Whether nothing else may come in between.
    """

    steps: Sequence[list[Wanted]]
    strict: bool
    done: int = 0
    """Steps that have come."""
    others: list[tuple[int, Event]] = field(default_factory=list)
    """What came beside: the position and the event."""
    parted: bool = False
    """Whether something came that may not come: nothing that follows can mend it."""
    goes_on: bool = True
    """Whether it begins behind what was expected before, and not at a revision that was given."""

    @property
    def complete(self) -> bool:
        return self.done == len(self.steps)

    def concerns(self, place: int, event: Event, among: Sequence[KeyRange] | None) -> bool:
        """Tell whether an event counts: for what is expected, or as something else."""
        if among is not None:
            return any(event.raw_key in scope for scope in among)
        return any(
            event.raw_key in each.scope and place >= each.start
            for step in self.steps
            for each in step
        )

    def offer(self, place: int, event: Event) -> None:
        """Take the event at a position of the journal."""
        if not self.complete:
            step = self.steps[self.done]
            if any(_assign(each, place, event, step, set()) for each in step):
                if all(each.event is not None for each in step):
                    self.done += 1
                return
        self.others.append((place, event))
        self.parted = self.strict

    @property
    def found(self) -> list[Wanted]:
        """What has come, in the order in which it was expected."""
        return [each for step in self.steps for each in step if each.event is not None]

    # Telling.

    def story(self, ending: str, limits: Sequence[str] = ()) -> str:
        """Tell a failure: what was expected beside what came, and where they part.

        Parameters
        ----------
        ending : str
            Why nothing more is waited for, such as "within 10 s".
        limits : sequence of str
            How far back one could look. Said at once: it may be all there is to say.
        """
        parted_at = self._parted_at()
        lines = [self._headline(ending, parted_at), *limits, ""]
        rows = list(self._rows(parted_at))
        width = max(len("expected"), *(len(left) for _, left, _ in rows))
        lines.append(f"    {'expected'.ljust(width)}   came")
        lines += [
            f"{mark:>2}  {left.ljust(width)}   {right}".rstrip() for mark, left, right in rows
        ]
        return "\n".join([*lines, *self._explanation(parted_at)])

    def _missing(self) -> list[Wanted]:
        """Give what has still to come of the step that is next."""
        if self.complete:
            return []
        return [each for each in self.steps[self.done] if each.event is None]

    def _parted_at(self) -> tuple[int, Event] | None:
        """Find the event with which things took another way.

        Where others may come in between, that is the first of those nearest to what was to come.
        """
        last = max((each.place for each in self.found if each.place is not None), default=-1)
        behind = [each for each in self.others if each[0] > last or self.strict]
        if self.strict:
            return behind[0] if behind else None
        nearest, nearness = None, -1
        for place, event in behind:
            for wanted in self._missing():
                objection = wanted.objection(event)
                if objection is not None and objection.nearness > nearness:
                    nearest, nearness = (place, event), objection.nearness
        return nearest

    def _headline(self, ending: str, parted_at: tuple[int, Event] | None) -> str:
        count = len(self.steps)
        if self.complete:
            assert parted_at is not None  # noqa: S101 - else nothing is wrong
            what = (
                f"nothing else was to come after {_steps(count)}"
                if count
                else "nothing was to come"
            )
            return f"{what}, and this did: {_came(parted_at[1])}"
        missing = self._missing()
        of = f"step {self.done + 1} of {count}" if count > 1 else "what was expected"
        if self.strict and parted_at is not None:
            return f"{of} was to be {_either(missing)}, and something else came"
        if len(self.steps[self.done]) > 1:
            return (
                f"{of} did not come {ending}: {len(missing)} of "
                f"{len(self.steps[self.done])} changes in any order missing"
            )
        return f"{of} did not come {ending}: {missing[0].change}"

    def _rows(self, parted_at: tuple[int, Event] | None) -> Iterator[tuple[str, str, str]]:
        """Give the lines of the two columns, each with its mark."""
        others = list(self.others)
        for number, step in enumerate(self.steps, start=1):
            label = f"{number}" if len(step) == 1 else f"{number}*"
            came = sorted(
                (each for each in step if each.event is not None), key=lambda each: each.place or 0
            )
            for each in came:
                assert each.place is not None  # noqa: S101 - both are set together
                assert each.event is not None  # noqa: S101
                while others and others[0][0] < each.place:
                    yield self._other(others.pop(0), parted_at)
                yield "", f"{label:<2} {each.change}", _came(each.event)
            for each in step:
                if each.event is None:
                    mark = ">" if number == self.done + 1 else ""
                    right = ""
                    if mark and parted_at in others:
                        while others[0] != parted_at:
                            yield self._other(others.pop(0), parted_at)
                        right = _came(others.pop(0)[1])
                    yield mark, f"{label:<2} {each.change}", right
        for other in others[:SHOWN]:
            yield self._other(other, parted_at)
        if len(others) > SHOWN:
            yield "", "", f"… {plural(len(others) - SHOWN, 'more event')}"

    @staticmethod
    def _other(
        other: tuple[int, Event], parted_at: tuple[int, Event] | None
    ) -> tuple[str, str, str]:
        return ">" if other == parted_at else "", "", _came(other[1])

    def _explanation(self, parted_at: tuple[int, Event] | None) -> list[str]:
        """Say what is wrong with the event at which they parted, or why there is none."""
        missing = self._missing()
        if not missing:
            return []
        if parted_at is not None:
            objections = [each.objection(parted_at[1]) for each in missing]
            nearest = max((each for each in objections if each), key=lambda each: each.nearness)
            lines = ["", f"They part at revision {parted_at[1].revision}: {nearest.reason}"]
            return lines + [f"  {line}".rstrip() for line in nearest.difference]
        for _, event in self.others:
            for each in missing:
                if each.objection(event) is None:
                    return ["", f"It came too early: {_came(event)}"]
        if self.goes_on and any(each.start for each in missing):
            return [
                "",
                "What was expected of these keys before does not count again, without since=",
            ]
        return []


def _assign(wanted: Wanted, place: int, event: Event, step: list[Wanted], asked: set[int]) -> bool:
    """Take an event for what was wanted; False where it is not that.

    What was taken for it before is moved to another of the step where it fits too: a matching by
    augmenting paths.
    """
    if id(wanted) in asked or place < wanted.start or wanted.objection(event) is not None:
        return False
    asked.add(id(wanted))
    if wanted.event is not None and wanted.place is not None:
        held_place, held = wanted.place, wanted.event
        if not any(
            _assign(each, held_place, held, step, asked) for each in step if each is not wanted
        ):
            return False
    wanted.place, wanted.event = place, event
    return True


def _came(event: Event) -> str:
    return f"{described(event)}  (revision {event.revision})"


def _steps(count: int) -> str:
    return "the one step" if count == 1 else f"the {count} steps"


def _either(missing: Sequence[Wanted]) -> str:
    return " or ".join(str(each.change) for each in missing)
