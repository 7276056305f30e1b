"""Text from files, servers and folders, made safe for where it is shown.

Such text may hold escape sequences that a terminal obeys, marks that turn the direction of reading, line ends that
forge a line of ours, and formulas that a spreadsheet runs. Letters of every language stay as they are.
"""
import re
from typing import Any, Dict, Match

from edgenext_deploy.standard_error import muting

# Patterns that `re` compiles at their first use and keeps: most text needs none, and it takes half a millisecond.
# C0 without tab and line end, DEL, C1, marks of width and direction, line and paragraph separators, surrogates, BOM.
_CONTROLS = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")
_LINES = "[\t\n]"
# What rich and click write to a terminal themselves: colours, and the cursor of a progress bar.
_OF_OURS = "\x1b\\[(?:[0-9;]*m|[0-9]*[ABCDGK]|\\?25[lh])|\r"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str) -> str:
    """Return text on one line in which nothing steers a terminal: controls become what Python escapes them as."""
    if text.isprintable():  # nearly all; a manifest has a thousand of them
        return text
    return re.sub(_LINES, _escape, re.sub(_CONTROLS, _escape, text))


def one_line(error: BaseException) -> str:
    """Return what an exception says on one line, or its type where it says nothing; still to be made visible."""
    return " ".join(str(error).split()) or type(error).__name__


def visible_lines(text: str, styled: bool = False) -> str:
    """Return text that is about to be written: as `visible`, but lines and tabs stay.

    Args:
        text: any number of lines.
        styled: colours and movements of the cursor stay too, for a terminal.
    """
    if not re.search(_CONTROLS, text):
        return text
    if not styled:
        return re.sub(_CONTROLS, _escape, text)
    ours = re.findall(_OF_OURS, text)
    parts = [re.sub(_CONTROLS, _escape, part) for part in re.split(_OF_OURS, text)]
    return "".join(part + own for part, own in zip(parts, [*ours, ""]))


def markup(text: str) -> str:
    """Return text for HTML and XML."""
    return re.sub(_CONTROLS, _escape, text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def attribute(text: str) -> str:
    """Return text as the quoted value of an attribute of HTML or XML."""
    return '"{}"'.format(markup(text).replace('"', "&quot;"))


def csv_cell(value: Any) -> Any:
    """Return a value for a CSV file: text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    shown = visible(value)
    return "'" + shown if value.startswith(_FORMULA) else shown


def markdown(text: str) -> str:
    """Return text that Markdown shows as it is: names of files hold underscores, pipes and asterisks."""
    return "".join("\\" + letter if letter in "\\|*_`<>[]" else letter for letter in visible(text))


class VisibleStream:
    """A text stream in front of another one; what is written passes `visible_lines`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text; return its length, as streams do."""
        with muting:
            self._stream.write(visible_lines(text, styled=self._stream.isatty()))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of the lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_SHORT: Dict[str, str] = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(match: Match[str]) -> str:
    letter = match.group()
    code = ord(letter)
    return _SHORT.get(letter) or ("\\x{:02x}" if code < 256 else "\\u{:04x}").format(code)
