"""A command line of ours that runs on a board: its files are copied there, what it writes is fetched."""
import os
import re
import secrets
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from edgenext_deploy.commands.options import other_file
from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import require_writable, shown, write_files_atomically
from edgenext_deploy.live_view.address import TOKEN_VARIABLE
from edgenext_deploy.preprocess.photo_files import is_photo
from edgenext_deploy.remote.link.connection import field
from edgenext_deploy.remote.link.jobs import Job
from edgenext_deploy.remote.pushing import bundle_of
from edgenext_deploy.remote.session import Session

# Options of our commands whose value is a file or folder that is written.
_OUTPUTS = ("--json-file", "--html", "--csv", "--markdown", "--plot", "--save", "--report", "--resume")
# Options whose value is never a file here, though a file or folder of that name may lie here.
_NAMES = ("--device", "--target", "--serve", "--serve-token", "--on", "--runtime", "--provider", "--gpu", "--threads",
          "--preprocess-on", "--optimization", "--pixel-format", "--top", "--top-k", "--max-objects", "--threshold",
          "--frames", "--duration", "--warmup", "--iterations", "--width", "--height", "--fps", "--shape",
          "--ray", "--readers")
_PORT = re.compile(r"[1-9][0-9]{0,4}\Z")
_MOST_BYTES = 512 << 20
_MOST_FILES = 2000


class Words(NamedTuple):
    """A command line for a board.

    Attributes:
        words: of it.
        outputs: name in the job's folder ``out``, and path here, of what is fetched.
    """

    words: Tuple[str, ...]
    outputs: Tuple[Tuple[str, str], ...]


def serve_port(words: Sequence[str]) -> Optional[int]:
    """Return the port of ``--serve`` among the words, None without it.

    Raises:
        UsageError: an address; the page is forwarded to this machine alone.
    """
    for index, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option == "--serve":
            text = value if equals else words[index + 1] if index + 1 < len(words) else ""
            if not _PORT.match(text) or int(text) > 65535:
                raise UsageError("--serve {} with a board: a port expected".format(shown(repr(text), 60)),
                                 "--serve 8080; the page is forwarded to this machine")
            return int(text)
    return None


def with_port(words: Sequence[str], port: int) -> List[str]:
    """Return the words with another port of ``--serve``."""
    found: List[str] = []
    for word in words:
        if found[-1:] == ["--serve"]:
            found.append(str(port))
        else:
            found.append("--serve={}".format(port) if word.startswith("--serve=") else word)
    return found


def carry_words(session: Session, words: Sequence[str]) -> Words:
    """Copy the files that a command line names, and return it as it is on the board.

    Raises:
        UsageError: two outputs of one name.
    """
    found: List[str] = []
    outputs: List[Tuple[str, str]] = []
    before = ""
    for word in [*_token_words(words), *words]:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        name = option if equals else before
        carried = word
        if equals or not option:
            carried = _carried(session, name, value, outputs)
            carried = option + equals + carried if equals else carried
        found.append(carried)
        before = word if word.startswith("-") and not equals else ""
    names = [name for name, _ in outputs]
    if len(set(names)) != len(names):
        raise UsageError("two outputs have the same name", "give each another name")
    return Words(tuple(found), tuple(outputs))


def run_there(session: Session, command: str, words: Sequence[str], on_output: Callable[[str], None]) -> int:
    """Run one of our commands on the board, and return its exit code; it ends with the connection.

    Args:
        session: of the board, which is ready.
        command: such as ``edgenext-run``.
        words: its arguments as here.
        on_output: called with each line of its standard output.

    Raises:
        LostConnectionError: the connection has ended.
    """
    carried = carry_words(session, words)
    job = Job("run-" + secrets.token_hex(8), "{} on {}".format(command, session.board.name),
              [session.step(command, command, carried.words)], attached=True, again=True)
    code = session.run(job, on_output, check=False).get("code")
    if carried.outputs:
        _fetch(session, job, carried.outputs)
    return code if isinstance(code, int) and 0 <= code < 256 else 1


def _carried(session: Session, option: str, value: str, outputs: List[Tuple[str, str]]) -> str:
    if option in _OUTPUTS:
        if value == "-":
            return value
        if not os.path.isdir(value):
            require_writable(value, other_file(option))
        name = os.path.basename(os.path.abspath(value))
        outputs.append((name, value))
        return "out/" + name + ("/" if value.endswith("/") else "")
    # A device is the board's, though this machine may have a /dev/video0 too.
    if option in _NAMES or not (os.path.isfile(value) or os.path.isdir(value)):
        return value
    return session.push(bundle_of(value))


def _is_expected(parts: Sequence[str]) -> bool:
    """Return whether a path may be written into a folder here: ours are photos, and a board might send anything."""
    return not parts or (is_photo(parts[-1]) and not any(
        part.startswith(".") or not part or "\0" in part for part in parts))


def _token_words(words: Sequence[str]) -> List[str]:
    """Return the words that say what the variable of a page's token says here; ssh does not pass it on."""
    token = os.environ.get(TOKEN_VARIABLE)
    options = {word.partition("=")[0] for word in words}
    if token is None or "--serve" not in options or "--serve-token" in options:
        return []
    return ["--serve-token", token]


def _fetch(session: Session, job: Job, outputs: Sequence[Tuple[str, str]]) -> None:
    made = field(session.connect().ask("made", name=job.name), "made", list)[:_MOST_FILES]
    for name, here in outputs:
        for path in made:
            parts = path.split("/")
            if parts[0] != name or not _is_expected(parts[1:]):
                continue
            data = session.fetch("jobs/{}/out/{}".format(job.name, path), _MOST_BYTES)
            target = os.path.join(here, *parts[1:]) if len(parts) > 1 else here
            write_files_atomically({target: data})
            session.say("wrote {}".format(target))
