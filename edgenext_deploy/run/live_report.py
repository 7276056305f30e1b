"""What a live run prints: JSON lines, or a line that is rewritten, and a summary."""
import json
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, TextIO

import click

from edgenext_deploy.foreign_text import visible
from edgenext_deploy.networks.stream_meter import StreamMeter
from edgenext_deploy.run.tally import LabelShare, Tally

if TYPE_CHECKING:
    from edgenext_deploy.camera.reader import Camera
    from edgenext_deploy.networks.stream import StreamResult
    from edgenext_deploy.run.views import View

# Latencies kept for the percentiles: some minutes of video, and no growth over days.
_KEPT = 10000
_TERMINAL_EVERY_S = 0.1
_LOG_EVERY_S = 5.0


class Summary(NamedTuple):
    """A whole run.

    Attributes:
        reason: why it ended.
        seconds: how long it took.
        fps: frames per second that were processed.
        captured: frames that the source gave.
        processed: frames that the network answered.
        dropped: frames that came while the network was busy.
        broken: photos that could not be read.
        reconnects: how often a lost source was opened again.
        latency_p50_ms: median latency of the last 10,000 frames, None without a frame.
        latency_p95_ms: their 95th percentile.
        latency_max_ms: largest latency of all frames.
        seen: what the frames showed, the most frequent first.
    """

    reason: str
    seconds: float
    fps: float
    captured: int
    processed: int
    dropped: int
    broken: int
    reconnects: int
    latency_p50_ms: Optional[float]
    latency_p95_ms: Optional[float]
    latency_max_ms: Optional[float]
    seen: List[LabelShare]


class Report:
    """Prints every result of a run, and its summary.

    As text, that is a line on stderr, rewritten on a terminal, and a summary on stdout. As JSON it is one object per
    line: the first of type ``stream``, then one of type ``frame`` for each frame, the last of type ``summary``.

    Args:
        view: shows the answers.
        as_json: print JSON lines on stdout in place of text.
        json_lines: open file that gets the JSON lines as well.
    """

    def __init__(self, view: "View", as_json: bool, json_lines: Optional[TextIO] = None) -> None:
        self._view = view
        self._as_json = as_json
        self._json_lines = json_lines
        self._terminal = sys.stderr.isatty()
        self._started = self._shown = time.perf_counter()
        self._meter = StreamMeter(_KEPT)
        self._tally = Tally()
        self._line_open = False
        self._broken = 0

    def start(self, engine: str, source: str, camera: "Camera", never_ends: bool = False) -> None:
        """Report what runs, and how to end it where it does not end by itself."""
        from edgenext_deploy.run.views import RANDOM

        network = self._view.network
        session = network.session.describe()
        document = {"type": "stream", "engine": engine, "source": source, "task": network.task,
                    "variant": network.manifest.variant,
                    "random_weights": network.random_weights, "session": session, "source_fps": camera.fps,
                    "every_frame": camera.every_frame}
        if network.random_weights:
            document["warning"] = RANDOM
        self._write_json(document)
        if not self._as_json:
            rate = "" if camera.fps is None else ", {:g} FPS".format(camera.fps)
            click.echo(visible("{}: {}, {} {}; {}{}{}".format(
                engine, network.manifest.variant, session["runtime"], session["version"], source, rate,
                "; Ctrl-C ends it" if never_ends else "")))
            if network.random_weights:
                click.echo(RANDOM)
        self._started = self._shown = time.perf_counter()

    def frame(self, result: "StreamResult", camera: "Camera") -> None:
        """Report one frame."""
        now = time.perf_counter()
        latency_ms = result.timings.latency_ms
        self._meter.add(latency_ms)
        self._tally.add(self._view.seen(result.answer))
        self._write_broken(camera)
        if self._as_json or self._json_lines is not None:
            document: Dict[str, Any] = {
                "type": "frame", "number": result.frame.number, "dropped": camera.counters.dropped}
            if result.frame.file is not None:
                document["image"] = result.frame.file
            if result.frame.position_s is not None and not camera.live:
                document["position_s"] = round(result.frame.position_s, 3)
            document.update(self._view.document(result.answer))
            document.update((name, round(value, 3)) for name, value in result.timings._asdict().items())
            self._write_json(document)
        if not self._as_json and now - self._shown >= (_TERMINAL_EVERY_S if self._terminal else _LOG_EVERY_S):
            self._shown = now
            self._show("{}{}  {:.1f} FPS  latency {:.1f} ms  dropped {}".format(
                self._view.headline(result.answer), self._view.mark, self._meter.fps(), latency_ms,
                camera.counters.dropped))

    def message(self, text: str) -> None:
        """Print a line on stderr, above the live line."""
        self.end_line()
        click.echo(visible(text), err=True)

    def end_line(self) -> None:
        """Leave the live line as it stands."""
        if self._line_open:
            click.echo("", err=True)
        self._line_open = False

    def finish(self, reason: str, camera: "Camera") -> None:
        """Print the summary of a closed camera."""
        self._write_broken(camera)
        summary = self._summary(reason, camera)
        self.end_line()
        document: Dict[str, Any] = {"type": "summary"}
        document.update((name, round(value, 3) if isinstance(value, float) else value)
                        for name, value in summary._asdict().items())
        document["seen"] = [
            {"index": item.index, "label": item.label, "frames": item.frames, "share": round(item.share, 4),
             "mean_score": round(item.mean, 4)} for item in summary.seen]
        self._write_json(document)
        if self._as_json:
            return
        click.echo("{}: {} frames in {:.1f} s ({:.1f} FPS), captured {}, dropped {}, reconnected {}{}".format(
            reason, summary.processed, summary.seconds, summary.fps, summary.captured, summary.dropped,
            summary.reconnects,
            ", {} photo{} not read".format(summary.broken, "s"[summary.broken == 1:]) if summary.broken else ""))
        if summary.processed:
            click.echo("latency from captured frame to answer: p50 {:.1f} ms, p95 {:.1f} ms, max {:.1f} ms".format(
                summary.latency_p50_ms or 0.0, summary.latency_p95_ms or 0.0, summary.latency_max_ms or 0.0))
            for line in self._view.summary(summary.seen):
                click.echo(visible(line))

    def _write_broken(self, camera: "Camera") -> None:
        broken = camera.broken
        for item in broken[self._broken:]:
            self._write_json({"type": "error", "image": item.file, "error": item.error})
        self._broken = len(broken)

    def _summary(self, reason: str, camera: "Camera") -> Summary:
        seconds = time.perf_counter() - self._started
        counters, meter = camera.counters, self._meter
        p50_ms, p95_ms = meter.percentiles(0.5, 0.95)
        return Summary(
            reason, seconds, meter.count / max(seconds, 1e-9), counters.captured, meter.count,
            counters.dropped, len(camera.broken), counters.reconnects, p50_ms, p95_ms,
            meter.max_ms if meter.count else None, self._tally.shares())

    def _show(self, text: str) -> None:
        text = visible(text)
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            click.echo("\r{}\x1b[K".format(text[:width]), nl=False, err=True)
            self._line_open = True
        else:
            click.echo(text, err=True)

    def _write_json(self, document: Dict[str, Any]) -> None:
        if self._as_json:
            click.echo(json.dumps(document))  # flushes: a reader of the pipe has each line at once
        if self._json_lines is not None:
            click.echo(json.dumps(document), self._json_lines)
