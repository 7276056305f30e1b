"""A job on a board, seen from here: started, followed over lost connections, left or ended by Ctrl-C."""
import codecs
import time
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from edgenext_deploy.commands.child import error_said
from edgenext_deploy.errors import BY_EXIT_CODE, EdgeNextError, UsageError, VerificationError
from edgenext_deploy.files import shown
from edgenext_deploy.foreign_text import visible
from edgenext_deploy.remote.link.connection import Connection, Event
from edgenext_deploy.remote.link.ssh import LostConnectionError

# How long a lost connection is tried again.
_PATIENCE_S = 120.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
# Letters of a line. A line of output may be a whole result, as those of --json are.
_LONGEST = {"output": 4 << 20, "log": 2000}
_KEPT_LINES = 20
_FULL = "No space left on device"
_FULL_BYTES = 4 << 20


class Job(NamedTuple):
    """What is to be done on the board.

    Attributes:
        name: of its folder there; the same job has the same name.
        title: for people.
        steps: what `steps.run_job` there does; none to follow a job that runs already.
        makes: files there without which a job that was done is done again.
        attached: it ends with the connection.
        again: do it although it was done.
    """

    name: str
    title: str
    steps: List[Dict[str, Any]]
    makes: Tuple[str, ...] = ()
    attached: bool = False
    again: bool = False


class Watcher(NamedTuple):
    """Who is told what a job does; all text is safe to show.

    Attributes:
        say: gets what happened, a line.
        now: gets what is being done; the next replaces it.
        line: gets ``output`` or ``log``, and a line that the job wrote there.
        step: gets the title of a step that ended, and its seconds.
        leave: asked after Ctrl-C whether the job should go on.
    """

    say: Callable[[str], Any]
    now: Callable[[str], Any]
    line: Callable[[str, str], Any]
    step: Callable[[str, float], Any]
    leave: Callable[[str], bool]


class JobLeftError(EdgeNextError):
    """Ctrl-C, and the job goes on there."""

    exit_code = 130


class _Lines:
    """A stream of a job, as lines."""

    def __init__(self, tell: Callable[[str], Any], longest: int) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._tell, self._longest = tell, longest
        self._left = ""
        self.offset = 0

    def take(self, data: bytes) -> None:
        """Take what comes next."""
        self.offset += len(data)
        *lines, self._left = (self._left + self._decoder.decode(data)).split("\n")
        if len(self._left) > self._longest:
            lines, self._left = [*lines, self._left], ""
        for line in lines:
            self._tell(_shown_line(line, self._longest))

    def end(self) -> None:
        """Hand over a last line without an end."""
        if self._left:
            self._tell(_shown_line(self._left, self._longest))
            self._left = ""


def run_job(connect: Callable[[], Connection], job: Job, watcher: Watcher, who: str, wait: bool = True) -> Event:
    """Run a job to its end, or follow the one that runs already; return its last state.

    Args:
        connect: returns the connection, a new one if the last has ended.
        job: what is to be done.
        watcher: who is told.
        who: for others who wait for the board.
        wait: wait for another job's end, or else fail.

    Raises:
        EdgeNextError: it failed; the class is that of its exit code.
        LostConnectionError: the connection was lost for two minutes.
        JobLeftError: Ctrl-C, and it goes on.
    """
    told: List[str] = []

    def tell(stream: str) -> Callable[[str], None]:
        def take(line: str) -> None:
            if stream == "log":
                told.append(line)
                del told[:-_KEPT_LINES]
            watcher.line(stream, line)
        return take

    streams = {name: _Lines(tell(name), longest) for name, longest in _LONGEST.items()}
    ended = 0
    found: Event = {}

    def on_event(event: Event) -> None:
        nonlocal ended
        if "busy" in event:
            watcher.say("waiting: " + shown(str(event["busy"]), 400))
        elif event.get("stream") in streams:
            streams[event["stream"]].take(str(event.get("text", "")).encode("latin-1", "replace"))
        elif "state" in event:
            steps = _steps(event["state"])
            for title, seconds in steps[ended:]:
                watcher.step(title, seconds)
            ended = max(ended, len(steps))
            watcher.now(_present_step(event["state"]))

    request = {"id": job.name, "title": job.title, "who": who, "steps": job.steps, "makes": job.makes,
               "attached": job.attached}
    lost_at, pause = None, _FIRST_PAUSE_S
    while True:
        try:
            connection = connect()
            if lost_at is not None:
                watcher.say("connected again")
            lost_at, pause = None, _FIRST_PAUSE_S
            if not found:  # else it was started, and only the connection is new
                if not job.steps:
                    found = connection.ask("state", name=job.name)
                else:
                    found = connection.ask("start", on_event, job=request, wait=wait, again=job.again)
                    if found.get("state") == "ended":
                        return dict(found, skipped=True)
            found = _follow(connection, job, on_event, streams)
            break
        except LostConnectionError as error:
            now = time.monotonic()
            lost_at = now if lost_at is None else lost_at
            if job.attached or not found or now - lost_at > _PATIENCE_S:
                raise
            watcher.say("{}; again in {:g} s, the job goes on there".format(error.message, pause))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        except KeyboardInterrupt:
            if job.attached or not found:
                raise
            connection.close()  # it is in the middle of an answer
            if watcher.leave(job.title):
                raise JobLeftError("left running there: {}".format(job.title),
                                   "the same command, or logs, goes on with it") from None
            connect().ask("stop", name=job.name)
            raise
    for stream in streams.values():
        stream.end()
    if found.get("state") != "ended":
        raise LostConnectionError("{}: it ended without a result; was it killed, or the board switched off?".format(
            job.title), "run the same command again")
    return found


def _follow(connection: Connection, job: Job, on_event: Callable[[Event], Any], streams: Dict[str, _Lines]) -> Event:
    """Follow a job to its end; Ctrl-C ends one that is attached, which may still write then."""
    try:
        return connection.ask("follow", on_event, name=job.name, **{
            name: stream.offset for name, stream in streams.items()})
    except KeyboardInterrupt:
        if not job.attached:
            raise
        connection.tell("end")
        return connection.listen(on_event)


def require_success(found: Event, job: Job, lines: List[str]) -> Event:
    """Return a job's last state; raise the error that its exit code stands for, with what it said."""
    code = found.get("code")
    if code == 0:
        return found
    said, fix = error_said(lines)
    message = "{}: {}".format(job.title, shown(said, 600))
    free = found.get("free")
    # Whatever code pip or a compiler gives it; on a full disk, they may not even have written it down.
    if any(_FULL in line for line in lines) or (isinstance(free, int) and free < _FULL_BYTES):
        raise UsageError("{}: the disk there is full".format(message),
                         "free some space on the board, or choose another disk with --folder")
    if not isinstance(code, int) or code not in BY_EXIT_CODE:
        killed = " (killed; most likely out of memory)" if code == 137 else ""
        raise VerificationError("{}, exit code {}{}".format(message, code, killed), fix)
    raise BY_EXIT_CODE[code](message, fix)


def _rows(state: Any) -> List[Event]:
    steps = state.get("steps") if isinstance(state, dict) else None
    return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def _steps(state: Any) -> List[Tuple[str, float]]:
    return [(shown(str(step.get("title"))), float(step["seconds"])) for step in _rows(state)
            if isinstance(step.get("seconds"), (int, float))]


def _present_step(state: Any) -> str:
    present = [step for step in _rows(state) if step.get("seconds") is None]
    return shown(str(present[-1].get("title"))) if present else ""


def _shown_line(line: str, longest: int) -> str:
    text = visible(line.rstrip("\r").rpartition("\r")[2])
    return text if len(text) <= longest else text[:longest] + "…"
