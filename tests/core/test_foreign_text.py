"""Text from files and names cannot steer what shows it; tried on a terminal too, where click hides part of it else."""
import io
import os
import pty
import re
import shutil
import subprocess
import sys

import pytest
from paths import CAT, DATA, ROOT

from edgenext_deploy.foreign_text import (
    _CONTROLS,
    VisibleStream,
    attribute,
    csv_cell,
    markdown,
    markup,
    visible,
    visible_lines,
)

HOSTILE = "\x1b[31mE\x1b]8;;http://e\x07\nline|[red]\u202eR\x9b2J\u2028`x`<script>\"'"
STEERING = ("\x1b", "\x07", "\x9b", "\u202e", "\u2028")


@pytest.mark.parametrize("shown", [visible, markup, attribute, markdown, csv_cell, visible_lines])
def test_nothing_steers(shown):
    assert not [letter for letter in STEERING if letter in shown(HOSTILE)]
    letters = "Übergröße 字 اسم पु\u200dत्र 🐈"
    assert shown(letters).strip('"') == letters


def test_one_line():
    assert visible("a\nb\tc\rd\x00\ud800") == "a\\nb\\tc\\rd\\x00\\ud800"
    assert "\n" not in markdown(HOSTILE)
    assert visible_lines("a\nb\tc\rd") == "a\nb\tc\\rd"


def test_every_letter_is_checked_that_python_calls_printable():
    """`visible` returns printable text as it is: no control may count as printable, on this Python's Unicode."""
    controls = re.findall(_CONTROLS, "".join(map(chr, range(sys.maxunicode + 1))))
    assert len(controls) > 2000 and not [letter for letter in controls if letter.isprintable()]


def test_markup():
    assert markup("<a & b>") == "&lt;a &amp; b&gt;"
    assert attribute('"><img onerror=\'') == '"&quot;&gt;&lt;img onerror=\'"'


@pytest.mark.parametrize("value, cell", [
    ("=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"), ("+1", "'+1"), ("-1", "'-1"), ("@x", "'@x"), ("\tx", "'\\tx"),
    ("a=1", "a=1"), (-1.5, -1.5), (None, None)])
def test_spreadsheets_run_no_formula(value, cell):
    assert csv_cell(value) == cell


def test_stream_lets_colours_through_to_a_terminal_only():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, colour in ((Terminal(), "\x1b[31m"), (io.StringIO(), "\\x1b[31m")):
        shown = VisibleStream(stream)
        shown.write("\x1b[31mred\x1b]0;title\x07\x1b[2J\n")
        shown.writelines(["a\u202e"])
        assert stream.getvalue() == colour + "red\\x1b]0;title\\x07\\x1b[2J\na\\u202e"
        shown.flush()


@pytest.mark.parametrize("arguments", [
    ["--engine", "ansi.onnx", "\x1b]0;owned\x07.jpg", "--anyway"], ["--engine", "\x1b]0;owned\x07.onnx", CAT],
    ["--engine", "ansi.onnx", "none\x1b[2J\u202e.jpg"]])
def test_on_a_terminal(tmp_path, arguments):
    for ending in (".onnx", ".json"):
        shutil.copy(os.path.join(DATA, "hostile", "ansi" + ending), str(tmp_path))
    shutil.copy(CAT, str(tmp_path / "\x1b]0;owned\x07.jpg"))
    ours, theirs = pty.openpty()
    environment = dict(os.environ, PYTHONPATH=ROOT, PYTHONIOENCODING="utf-8", TERM="xterm", COLUMNS="200")
    process = subprocess.Popen(
        [sys.executable, "-c", "from edgenext_deploy.run.cli import main; main()", *arguments], cwd=str(tmp_path),
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    output = b""
    try:
        while True:
            output += os.read(ours, 4096)
    except OSError:  # the other end is closed
        os.close(ours)
    assert process.wait() in (0, 2, 3)
    assert b"owned" in output or b"none" in output
    for letters in (b"\x1b]", b"\x07", b"\x1b[2J", "\u202e".encode("utf-8")):
        assert letters not in output
