"""The live side of edgenext-run: its options, and the loop over a camera's frames."""
import contextlib
import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, NamedTuple, Optional, TextIO, Tuple

import click

from edgenext_deploy.camera.open import PIXEL_FORMATS, SOURCES, is_stream, parse_address
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.live_view.address import choose_token, parse_serve_address
from edgenext_deploy.run.library_lines import quiet_libraries

if TYPE_CHECKING:
    from types import FrameType

    from edgenext_deploy.camera.reader import Camera, Frame
    from edgenext_deploy.live_view.view import LiveView
    from edgenext_deploy.run.live_report import Report
    from edgenext_deploy.run.video import VideoFile, Window
    from edgenext_deploy.run.views import View

_OPTIONS = (
    click.option("--stream", is_flag=True, help="Play a folder of photos as a stream."),
    click.option("--frames", type=click.IntRange(1), metavar="N", help="Stream: stop after N frames."),
    click.option("--duration", type=float, metavar="SECONDS", help="Stream: stop after this time."),
    click.option("--width", type=int, metavar="PIXELS", help="Stream: width of the frames.  [default: the source's]"),
    click.option("--height", type=int, metavar="PIXELS", help="Stream: height of the frames.  [default: the source's]"),
    click.option("--fps", type=float, metavar="N", help="Stream: frames per second.  [default: the source's]"),
    click.option("--wait", is_flag=True,
                 help="Stream: wait for a camera or network stream that is not there yet, as at boot."),
    click.option("--every-frame", is_flag=True,
                 help="Stream: wait for the network and drop no frame (files, folders, synthetic://)."),
    click.option("--pixel-format", type=click.Choice(PIXEL_FORMATS),
                 help="Stream: format that GStreamer hands over.  [default: bgrx; bgr with --save and --display]"),
    click.option("--save", type=click.Path(), metavar="PATH",
                 help="Draw the answers into a copy of the photo (.jpg, .png), of several photos (a folder), or into "
                      "a video of the stream (.mp4, .avi)."),
    click.option("--display", is_flag=True, help="Stream: show the frames in a window; Q ends."),
    click.option("--serve", metavar="[HOST:]PORT",
                 help="Stream: show frames, answers and figures on a page in the browser. Without HOST for this "
                      "machine alone; 0.0.0.0 for others too."),
    click.option("--serve-token", metavar="TOKEN",
                 help="What a viewer of the page has to know, 8 characters or more.  [default: "
                      "$EDGENEXT_SERVE_TOKEN; else none on this machine, a new one on another HOST]"),
)


class LiveOptions(NamedTuple):
    """The options of a stream, as given."""

    stream: bool = False
    frames: Optional[int] = None
    duration: Optional[float] = None
    width: Optional[int] = None
    height: Optional[int] = None
    fps: Optional[float] = None
    wait: bool = False
    every_frame: bool = False
    pixel_format: Optional[str] = None
    save: Optional[str] = None
    display: bool = False
    serve: Optional[str] = None
    serve_token: Optional[str] = None


def live_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `LiveOptions` to a command; its function gets them as keywords."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def chosen_stream(sources: Tuple[str, ...], options: LiveOptions) -> Optional[str]:
    """Return the one source that is to be streamed, or None where all are photos.

    Raises:
        UsageError: a stream together with other sources, or options for a stream without one.
    """
    streams = [source for source in sources if options.stream or is_stream(source)]
    if not streams:
        given = [name for name, value in options._asdict().items() if value not in (None, False) and name != "save"]
        if given:
            raise UsageError(
                "--{} is for streams; {} is a photo or a folder of photos".format(
                    given[0].replace("_", "-"), sources[0]),
                "pass a camera, a network stream or a video; --stream plays a folder")
        return None
    if len(sources) > 1:
        raise UsageError(
            "{} sources found; {} is a stream and must be the only source".format(len(sources), streams[0]),
            "start one command for each")
    if options.duration is not None and not options.duration > 0.0:
        raise UsageError("--duration must be above 0, found {:g}".format(options.duration), "pass seconds")
    if options.save is not None and os.path.realpath(options.save) == os.path.realpath(streams[0]):
        raise UsageError("saving to {} would overwrite the stream that is read".format(options.save),
                         "choose another file with --save")
    if options.serve is not None:
        choose_token(parse_serve_address(options.serve), options.serve_token)
    elif options.serve_token is not None:
        raise UsageError("--serve-token is for the page that --serve shows", "add --serve 8080, or leave it out")
    if _draws(options) and options.pixel_format not in (None, "bgr"):
        raise UsageError("--save and --display need bgr, --pixel-format {} found".format(options.pixel_format),
                         "leave out --pixel-format")
    return streams[0]


def run_live(engine: str, source: str, view: "View", options: LiveOptions, as_json: bool = False,
             json_file: Optional[str] = None) -> int:
    """Run a network on a stream until it ends, a limit is reached, a signal comes, or the window is closed.

    Args:
        engine: path of the engine, for the report.
        source: address of the stream.
        view: the open network, and how its answers are shown.
        options: of the stream.
        as_json: print JSON lines in place of text.
        json_file: write JSON lines there.

    Returns:
        The exit code: 0, 3 if photos of a folder could not be read, or 128 plus the number of the signal.
    """
    import numpy as np

    from edgenext_deploy.camera.reader import Camera
    from edgenext_deploy.run.live_report import Report

    quiet_libraries(_debug())
    # The first call imports and allocates; no frame should wait for that.
    view.network(np.zeros((64, 64, 3), np.uint8))
    with contextlib.ExitStack() as stack:
        lines = None if json_file is None else stack.enter_context(_lines_file(json_file))
        report = Report(view, as_json, lines)
        stack.enter_context(_logged(report))
        page = _page(stack, view, options, report)
        camera = stack.enter_context(Camera(
            source, width=options.width, height=options.height, fps=options.fps,
            every_frame=options.every_frame or None, wait=options.wait,
            pixel_format=options.pixel_format or ("bgr" if _draws(options) else "bgrx")))
        if page is not None:
            page.watch(camera)
        video, window = _outputs(stack, options, camera)
        until = stack.enter_context(_Until(options))
        report.start(engine, camera.name, camera, never_ends(source, options))
        for result in view.network.stream(camera, until, pipeline=int(camera.every_frame)):
            until.processed += 1
            report.frame(result, camera)
            if video is not None or window is not None:
                view.draw_frame(result.frame.image, result.answer)
            if page is not None:
                page.show(result, drawn=_draws(options))
            if video is not None:
                video.write(result.frame.image, _moment(result.frame, camera))
            if window is not None:
                window.show(result.frame.image)
                until.window_closed = window.closed
        camera.close()
        if video is not None:
            video.close()
        report.finish(until.reason, camera)
        if video is not None:
            report.message("{}: {} frames, {}".format(video.path, video.frames, video.codec) if video.frames
                           else "{} was not written: no frame came".format(video.path))
    return until.exit_code or (BadInputError.exit_code if camera.broken else 0)


def never_ends(source: str, options: LiveOptions) -> bool:
    """Return whether only a signal, or closing the window, ends a stream."""
    address = parse_address(source)
    return (options.frames is None and options.duration is None and SOURCES[address.kind].is_path is None
            and "frames" not in address.options)


def _moment(frame: "Frame", camera: "Camera") -> Optional[float]:
    """Return when a frame is shown in the saved video, in seconds; None for one after the other."""
    if not camera.live and frame.position_s is not None:
        return frame.position_s
    return None if camera.every_frame else frame.captured_at


class _Until:
    """Says when a stream is to stop; as a context, it takes SIGINT and SIGTERM.

    The first signal only ends the loop after the current frame. The second one interrupts at once, in case a driver
    hangs.
    """

    def __init__(self, options: LiveOptions) -> None:
        self.processed = 0
        self.window_closed = False
        self.reason = "end of source"
        self.exit_code = 0
        self._options = options
        self._signal = 0
        self._previous: Dict[int, Any] = {}
        self._started = time.perf_counter()

    def __call__(self) -> bool:
        options = self._options
        elapsed = time.perf_counter() - self._started
        if self._signal:
            self.reason, self.exit_code = signal.Signals(self._signal).name, 128 + self._signal
        elif self.window_closed:
            self.reason = "window closed"
        elif options.frames is not None and self.processed >= options.frames:
            self.reason = "frame limit"
        elif options.duration is not None and elapsed >= options.duration:
            self.reason = "time limit"
        else:
            return False
        return True

    def __enter__(self) -> "_Until":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._note)
        self._started = time.perf_counter()
        return self

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: "Optional[FrameType]") -> None:
        if self._signal:
            raise KeyboardInterrupt
        self._signal = number


def _outputs(stack: contextlib.ExitStack, options: LiveOptions, camera: "Camera"
             ) -> "Tuple[Optional[VideoFile], Optional[Window]]":
    from edgenext_deploy.run.video import VideoFile, Window

    video = window = None
    if options.save is not None:
        video = VideoFile(options.save, camera.fps)
        stack.callback(video.close)
    if options.display:
        window = Window(camera.name)
        stack.callback(window.close)
    return video, window


def _page(stack: contextlib.ExitStack, view: "View", options: LiveOptions, report: "Report") -> "Optional[LiveView]":
    """Open the page before the camera, which may take its time, and say where it is."""
    from edgenext_deploy.run.serving import open_live_view

    if options.serve is None:
        return None
    page = stack.enter_context(open_live_view(view, parse_serve_address(options.serve), options.serve_token))
    report.message("live page: " + page.printed_address)
    return page


def _lines_file(path: str) -> TextIO:
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        return open(path, "w", encoding="utf-8")
    except OSError as error:
        raise UsageError("cannot write {}: {}".format(path, error.strerror or error),
                         "give another file with --json-file") from error


def _draws(options: LiveOptions) -> bool:
    return options.save is not None or options.display


@contextlib.contextmanager
def _logged(report: "Report") -> Iterator[None]:
    """Print the package's warnings, and with ``--debug`` its pipelines, without breaking the live line."""
    debug = _debug()
    logger, handler = logging.getLogger("edgenext_deploy"), _Handler(report)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def _debug() -> bool:
    """Return whether ``--debug`` was given; the option does not reach the command's function."""
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source("debug") == click.core.ParameterSource.COMMANDLINE


class _Handler(logging.Handler):
    def __init__(self, report: "Report") -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        self._report.message("{}: {}".format(record.levelname.lower(), record.getMessage()))
