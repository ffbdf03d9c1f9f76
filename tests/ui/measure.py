"""What a page goes through while much comes: frames, messages, memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import CDPSession, Page

START = """() => {
    const kept = { frames: [], messages: [], from: 0, last: performance.now(), on: true };
    window.etcdWatcherMeasured = kept;
    const frame = now => {
        kept.frames.push(now - kept.last);
        kept.last = now;
        if (kept.on) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    kernel.iopubMessage.connect((_, message) => {
        if (kept.on && message.header.msg_type === 'comm_msg') {
            kept.messages.push([message.content.comm_id, performance.now(),
                                message.content.data.method]);
        }
    });
}"""


@dataclass
class Measured:
    """Frames are milliseconds from one to the next; messages those of each widget, with times."""

    frames: list[float]
    messages: dict[str, list[float]]

    @property
    def slow_frame(self) -> float:
        """Of 20 frames, 19 came faster than this (milliseconds)."""
        return sorted(self.frames)[int(len(self.frames) * 0.95)]

    def busiest_second(self, model: str) -> int:
        """The most messages that came to one widget within a second."""
        times = self.messages.get(model, [])
        return max((sum(a <= b < a + 1000 for b in times) for a in times), default=0)

    def rate(self, model: str) -> float:
        """Messages a second to one widget, from the first to the last."""
        times = self.messages.get(model, [])
        return 0.0 if len(times) < 2 else (len(times) - 1) / (times[-1] - times[0]) * 1000


class Measuring:
    """Measures a page from now on."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.evaluate(START)

    def begin(self) -> None:
        """Measure frames anew, and begin another list of messages."""
        self._page.evaluate(
            """() => {
                const kept = window.etcdWatcherMeasured;
                kept.frames.length = 0;
                kept.from = kept.messages.length;
                kept.last = performance.now();
            }"""
        )

    def came(self, model: str) -> int:
        """Count the messages to one widget since we measure at all."""
        count: int = self._page.evaluate(
            """model => window.etcdWatcherMeasured.messages
                .filter(([id, _, method]) => id === model && method === 'custom').length""",
            model,
        )
        return count

    def read(self) -> Measured:
        """Give what was measured since it began last."""
        frames, messages = self._page.evaluate(
            """() => {
                const { frames, messages, from } = window.etcdWatcherMeasured;
                return [frames, messages.slice(from)];
            }"""
        )
        by_model: dict[str, list[float]] = {}
        for model, time, method in messages:
            if method == "custom":
                by_model.setdefault(model, []).append(time)
        return Measured(frames, by_model)

    def idle_frame(self, seconds: float = 2) -> float:
        """Measure the page while nothing happens, and give its slow frame."""
        self.begin()
        self._page.wait_for_timeout(seconds * 1000)
        return self.read().slow_frame


class Heap:
    """The page's memory, as Chromium tells after it has collected its garbage."""

    def __init__(self, page: Page) -> None:
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("HeapProfiler.enable")
        self._session.send("Performance.enable")

    def megabytes(self) -> float:
        """Give what the page's objects take."""
        self._session.send("HeapProfiler.collectGarbage")
        metrics: list[dict[str, Any]] = self._session.send("Performance.getMetrics")["metrics"]
        used = next(each["value"] for each in metrics if each["name"] == "JSHeapUsedSize")
        return float(used) / 2**20
