"""The last of what one subscriber's callbacks gave: text, plots, tables, errors. Bounded."""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

__all__ = ["Output", "OutputTail", "encodable"]

Output = dict[str, Any]
"""An output as the notebook format has it: a stream, display_data, or an error."""

LINE = 2_000
"""Characters of a line that are kept."""

TEXT = 100_000
"""Characters of text that are kept at the most."""

TEXT_OF_A_LINE = 100
"""For fewer lines it is so many for each, and 20,000 at the least. JupyterLab looks for links in all
of the text and lays it out anew, several times a second when a card is flooded: with 100,000
characters that took the page 83 ms each time, on two busy cores."""

PENDING = 400_000
"""Characters that wait to be looked at; a callback that prints faster looks at them itself."""

LARGEST = 1_000_000
"""Bytes of one plot or table. Jupyter's server lets 3 MB through in 3 s, to all widgets together."""

RICH = 2_000_000
"""Bytes of plots, tables and errors that are kept."""


@dataclass(slots=True, eq=False)
class Entry:
    """An output that is kept, with what it counts for."""

    output: Output
    lines: int = 0
    size: int = 0
    display_id: str | None = None

    @property
    def is_text(self) -> bool:
        return bool(self.output["output_type"] == "stream")


class OutputTail:
    """Keeps the last lines and the last rich outputs, and tells a page what is new.

    Written to by whatever threads callbacks run on, read by the renderer's.

    Parameters
    ----------
    lines : int
        Lines of text that are kept.
    rich : int
        Plots, tables and errors that are kept.

    Attributes
    ----------
    lines_left_out, rich_left_out : int
        How many came before those that are kept.
    """

    def __init__(self, lines: int, rich: int) -> None:
        self._most_lines = lines
        self._most_text = min(TEXT, max(10 * LINE, TEXT_OF_A_LINE * lines))
        self._most_rich = rich
        self._lock = threading.RLock()
        """Guards all below. Reentrant: a finalizer may print wherever we allocate."""
        self.lines_left_out = 0
        self.rich_left_out = 0
        self._kept: deque[Entry] = deque()
        self._pending: list[tuple[str, str]] = []
        """Pieces of text that were written and not looked at yet: `print` writes each argument and
        each space by itself."""
        self._pending_size = 0
        self._clear_next = False
        """Whether the next output takes the place of all that is there."""
        self._fresh: list[Output] = []
        """What the page does not know yet."""
        self._anew = True
        """Whether the page has to be told all that is kept, not only what is fresh."""
        self._grown_lines = self._grown_rich = self._grown_size = 0
        """What the page got since it was told all: it keeps it until then."""

    # For the callbacks.

    def write(self, stream: str, text: str) -> None:
        """Take text for "stdout" or "stderr"."""
        with self._lock:
            self._pending.append((stream, text))
            self._pending_size += len(text)
            if self._pending_size > PENDING:
                self._look()

    def display(
        self, content: dict[str, Any], metadata: dict[str, Any], display_id: str | None = None
    ) -> None:
        """Take a plot, a table, or whatever else has a MIME bundle."""
        with self._lock:
            self._look()
            self._make_room()
            self._add(_rich(content, metadata, display_id))

    def update(
        self, content: dict[str, Any], metadata: dict[str, Any], display_id: str | None
    ) -> bool:
        """Put a new bundle in the place of one that was shown; False where it is not here."""
        with self._lock:
            self._look()
            found = [each for each in self._kept if display_id and each.display_id == display_id]
            for each in found:
                fresh = _rich(content, metadata, display_id)
                each.output, each.size = fresh.output, fresh.size
                self._anew = True
            return bool(found)

    def fail(self, name: str, value: str, trace: list[str]) -> None:
        """Take an exception."""
        output = {
            "output_type": "error",
            "ename": encodable(name),
            "evalue": encodable(value[:LINE]),
            "traceback": [encodable("".join(trace)[-TEXT:])],
        }
        with self._lock:
            self._look()
            self._make_room()
            self._add(Entry(output, size=len(output["traceback"][0])))

    def clear(self, *, wait: bool = False) -> None:
        """Forget all; with `wait`, only when there is something to take its place."""
        with self._lock:
            if wait:
                self._look()
                self._clear_next = True
            else:
                self._forget()

    # For the page.

    def tell_all(self) -> None:
        """Have the next `news` be all that is kept."""
        with self._lock:
            self._anew = True

    def news(self) -> tuple[str, list[Output]] | None:
        """Give what the page does not know: "set" with all there is, "add" with more, or None."""
        with self._lock:
            self._look()
            if self._anew:
                self._anew = False
                self._grown_lines = self._grown_rich = self._grown_size = 0
                self._fresh = []
                return "set", self._all()
            if not self._fresh:
                return None
            fresh, self._fresh = self._fresh, []
            return "add", fresh

    def outputs(self) -> list[Output]:
        """Give all that is kept."""
        with self._lock:
            self._look()
            return self._all()

    def text(self) -> str:
        """Give all that is kept as text."""
        return "".join(_as_text(each) for each in self.outputs())

    # Within.

    def _all(self) -> list[Output]:
        return [dict(each.output) for each in self._kept]

    def _forget(self) -> None:
        self._kept.clear()
        self._pending.clear()
        self._pending_size = 0
        self._fresh = []
        self._clear_next = False
        self._anew = True
        self.lines_left_out = self.rich_left_out = 0

    def _make_room(self) -> None:
        if self._clear_next:
            self._forget()

    def _look(self) -> None:
        """Take up what was written, streams merged."""
        if not self._pending:
            return
        pending, self._pending, self._pending_size = self._pending, [], 0
        self._make_room()
        first = 0
        for number in range(1, len(pending) + 1):
            if number == len(pending) or pending[number][0] != pending[first][0]:
                text = "".join(text for _, text in pending[first:number])
                self._append(pending[first][0], encodable(text))
                first = number
        self._bound_text()

    def _append(self, stream: str, text: str) -> None:
        if not text:
            return
        last = self._kept[-1] if self._kept else None
        if last is None or last.output.get("name") != stream:
            last = Entry({"output_type": "stream", "name": stream, "text": ""})
            self._kept.append(last)
        before = str(last.output["text"])
        start = before.rfind("\n") + 1  # of the line that goes on
        added = _shorten(before[start:] + text)
        if not added.startswith(before[start:]):
            self._anew = True
        last.output["text"] = before[:start] + added
        fresh = added[len(before) - start :]
        last.lines += fresh.count("\n")
        last.size = len(last.output["text"])
        if not self._anew:
            self._grown_lines += fresh.count("\n")
            self._grown_size += len(fresh)
            self._freshen({"output_type": "stream", "name": stream, "text": fresh})

    def _freshen(self, output: Output) -> None:
        """Note what the page is to be given; more than it should hold is given anew."""
        last = self._fresh[-1] if self._fresh else None
        if last is not None and last.get("name", "") == output.get("name"):
            last["text"] += output["text"]
        else:
            self._fresh.append(dict(output))
        too_much = (
            self._grown_lines > 2 * self._most_lines
            or self._grown_rich > 2 * self._most_rich
            or self._grown_size > self._most_text
        )
        if too_much:
            self._anew = True

    def _bound_text(self) -> None:
        texts = [each for each in self._kept if each.is_text]
        lines = sum(each.lines for each in texts) - self._most_lines
        size = sum(each.size for each in texts) - self._most_text
        for each in texts:
            if lines <= 0 and size <= 0:
                return
            text, dropped, position = str(each.output["text"]), 0, 0
            while (dropped < lines or position < size) and position < len(text):
                position = text.find("\n", position) + 1 or len(text)
                dropped += 1
            lines -= dropped
            size -= position
            self.lines_left_out += dropped
            each.output["text"] = text[position:]
            each.lines = text.count("\n", position)
            each.size = len(text) - position
            if not each.size and each is not texts[-1]:
                self._remove(each)

    def _remove(self, entry: Entry) -> None:
        """Take one out, and join what is then beside each other."""
        at = self._kept.index(entry)
        del self._kept[at]
        if 0 < at < len(self._kept):
            before, behind = self._kept[at - 1], self._kept[at]
            if before.is_text and before.output["name"] == behind.output.get("name"):
                before.output["text"] += behind.output["text"]
                before.lines += behind.lines
                before.size += behind.size
                del self._kept[at]

    def _add(self, entry: Entry) -> None:
        self._kept.append(entry)
        rich = [each for each in self._kept if not each.is_text]
        size = sum(each.size for each in rich)
        for each in rich:
            if len(rich) <= self._most_rich and size <= RICH:
                break
            self._remove(each)
            rich = rich[1:]
            size -= each.size
            self.rich_left_out += 1
        if not self._anew:
            self._grown_rich += 1
            self._freshen(entry.output)


def encodable(text: str) -> str:
    r"""Give text that can be sent: bytes that were not UTF-8 show as what they are (`\udcff`)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def _shorten(text: str) -> str:
    """Cut lines that are too long, and of each what a carriage return has overwritten."""
    if len(text) <= LINE:
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if len(line) > LINE:
            shown = line.rstrip("\r").rpartition("\r")[2]
            if len(shown) > LINE:
                shown = f"{shown[:LINE]}… ({len(shown):,} characters)"
            lines[number] = shown
    return "\n".join(lines)


def _rich(content: dict[str, Any], metadata: dict[str, Any], display_id: str | None) -> Entry:
    """Make an entry of a MIME bundle; of one that is too large, of a note that says so."""
    packed = json.dumps({"data": content, "metadata": metadata}, default=str)
    if len(packed) > LARGEST:
        note = (
            f"An output of {len(packed) / 1e6:.1f} MB is not shown: a card takes "
            f"{LARGEST / 1e6:g} MB. Make the plot or table smaller."
        )
        return _rich({"text/plain": note}, {}, display_id)
    output = {"output_type": "display_data"} | json.loads(packed, object_hook=_encodable_values)
    return Entry(output, size=len(packed), display_id=display_id)


def _encodable_values(mapping: dict[str, Any]) -> dict[str, Any]:
    return {
        key: encodable(value) if isinstance(value, str) else value for key, value in mapping.items()
    }


def _as_text(output: Output) -> str:
    if output["output_type"] == "stream":
        return str(output["text"])
    if output["output_type"] == "error":
        return "".join(output["traceback"])
    return str(output["data"].get("text/plain", "")) + "\n"
