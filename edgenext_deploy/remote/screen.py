"""What a command shows while it works on boards: a line for each board on a terminal, lines elsewhere.

All of it goes to standard error. Text of a board is plain text: nothing in it is markup, and nothing moves the cursor.
"""
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

import click

from edgenext_deploy.foreign_text import visible
from edgenext_deploy.remote.link.jobs import Watcher

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_REDRAWS_PER_S = 4
_LONGEST_STATUS = 100


class Screen:
    """The lines of several boards; use it in a ``with`` block.

    Args:
        hosts: names of the boards.
        quiet: show nothing but questions.
        live: on a terminal, show what is being done, in lines that change.
    """

    def __init__(self, hosts: Sequence[str], quiet: bool = False, live: bool = True) -> None:
        self._hosts = list(hosts)
        self._width = max(map(len, hosts))
        self._quiet, self._lively = quiet, live and not quiet
        self._status: Dict[str, str] = dict.fromkeys(hosts, "starting")
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._live: Optional[Live] = None

    def __enter__(self) -> "Screen":
        if self._lively and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True, markup=False, highlight=False, emoji=False), transient=True,
                              get_renderable=self._table, refresh_per_second=_REDRAWS_PER_S)
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def watcher(self, host: str) -> Watcher:
        """Return who is told what happens on a board."""
        return Watcher(
            say=lambda text: self._say(host, text),
            now=lambda text: self._now(host, text),
            line=lambda stream, text: self._line(host, stream, text),
            step=lambda title, seconds: self._say(host, "{}: {:.1f} s".format(title, seconds)),
            leave=self.leave)

    def done(self, host: str, text: str) -> None:
        """Show how it ended on a board."""
        self._say(host, text)

    def end(self, text: str) -> None:
        """Show a last line, and nothing of what threads still say whose connections are closed now."""
        if not self._quiet:
            click.echo(text, err=True)
        self._quiet = True

    def leave(self, title: str) -> bool:
        """Ask whether a job should go on there; True where nobody can answer."""
        self._stop()
        if not sys.stdin or not sys.stdin.isatty():
            return True
        return click.confirm("{}: leave it running there?".format(title), default=True, err=True)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say(self, host: str, text: str) -> None:
        text = visible(text)
        self._now(host, text)
        self._print("{:<{}}  {}".format(host, self._width, text))

    def _now(self, host: str, text: str) -> None:
        with self._lock:
            self._status[host] = visible(text)[:_LONGEST_STATUS]

    def _line(self, host: str, stream: str, text: str) -> None:
        self._now(host, text)
        # Of several boards at once the logs would mix; `logs` shows each.
        if len(self._hosts) == 1:
            self._print("{:<{}}  | {}".format(host, self._width, text))

    def _print(self, line: str) -> None:
        if self._quiet:
            return
        with self._lock:
            live = self._live
            if live is None:
                click.echo(line, err=True)
            else:
                live.console.print(line, soft_wrap=True)

    def _table(self) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for host in self._hosts:
            table.add_row(Text(host), Text(self._status[host], overflow="ellipsis", no_wrap=True),
                          Text("{:.0f} s".format(time.monotonic() - self._began)))
        return table


def table_lines(rows: List[Dict[str, Any]], titles: Dict[str, str]) -> List[str]:
    """Return rows as lines of aligned columns.

    Args:
        rows: a dictionary each.
        titles: key and title of each column, in order; one that no row has is left out.
    """
    keys = [key for key in titles if any(row.get(key) not in (None, "") for row in rows)]
    cells = [[titles[key] for key in keys], *[
        [visible("" if row.get(key) is None else str(row[key])) for key in keys] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(keys))]
    return ["  ".join("{:<{}}".format(cell, width) for cell, width in zip(row, widths)).rstrip() for row in cells]
