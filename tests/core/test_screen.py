"""Tables off a terminal and on one."""
import io
import sys

import pytest

rich_table = pytest.importorskip("rich.table")

from edgenext_deploy.commands.screen import make_console  # noqa: E402 - rich first


class Terminal(io.StringIO):
    def isatty(self):
        return True


def printed(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "60")
    table = rich_table.Table.grid(padding=(0, 2))
    table.add_row("parity", "a long line of words " * 20)
    table.add_row("short", "x")
    make_console().print(table)
    return stream.getvalue()


def test_off_a_terminal_no_line_is_wrapped_or_filled_up(monkeypatch):
    lines = printed(monkeypatch, io.StringIO()).splitlines()
    assert len(lines) == 2 and len(lines[0]) > 400 and lines[1] == "short   x"
    assert all(line == line.rstrip() for line in lines)


def test_a_terminal_has_its_own_width(monkeypatch):
    lines = printed(monkeypatch, Terminal()).splitlines()
    assert len(lines) > 5 and max(map(len, lines)) <= 60
