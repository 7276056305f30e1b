"""``@FILE`` on a command line: words that a file holds, so that no process list and no shell's history shows them."""
import codecs
import os
import sys
from typing import List, Sequence

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown

_MARK = "@"
_STDIN = "-"
_MOST_BYTES = 1 << 20
_FIX = "one word on each line; a file whose own name begins with @ is written ./@NAME"
# What `write_words` gives, and `READ_WORDS` on a command line takes.
READ_WORDS = _MARK + _STDIN


def with_words_of_files(words: Sequence[str]) -> List[str]:
    """Return a command line with the words of FILE in place of ``@FILE``, and those of standard input for ``@-``.

    A file has a word on each line. Where it ends with NUL, as ``find -print0`` does, NUL separates them. What stands in
    a file is not looked up again.

    Raises:
        BadInputError: a file is missing, too large, or no text in UTF-8.
    """
    found: List[str] = []
    for word in words:
        if word.startswith(_MARK) and word != _MARK:
            found += _words_of(word[len(_MARK):])
        else:
            found.append(word)
    return found


def write_words(words: Sequence[str]) -> str:
    """Return words as a command that is called with `READ_WORDS` reads them."""
    return "".join(word + "\0" for word in words)


def _words_of(path: str) -> List[str]:
    name = "standard input" if path == _STDIN else shown(path, 600)
    try:
        if path == _STDIN:
            data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            # A pipe too, as of the shell's @<(COMMAND).
            with open(os.path.expanduser(path), "rb") as stream:
                data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BadInputError("the words of {} cannot be read: {}".format(name, error.strerror or error), _FIX) from error
    if len(data) > _MOST_BYTES:
        raise BadInputError("the words of {} are more than {} bytes".format(name, _MOST_BYTES), _FIX)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BadInputError("{} is UTF-16, and UTF-8 is read".format(name), _FIX)
    if data.endswith(b"\0"):
        parts = data[:-1].split(b"\0")
    elif b"\0" in data:
        raise BadInputError("{} holds no words: there is a NUL in it".format(name), _FIX)
    else:
        # An editor of Windows puts the mark in front of UTF-8.
        text = data[len(codecs.BOM_UTF8):] if data.startswith(codecs.BOM_UTF8) else data
        parts = [line for line in text.replace(b"\r\n", b"\n").split(b"\n") if line]
    # As Python reads a command line: names in another encoding keep their bytes.
    return [os.fsdecode(part) for part in parts]
