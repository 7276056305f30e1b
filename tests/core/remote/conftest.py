"""A board that is a folder of this machine; `local_ssh.py` stands in for ssh."""
import os
import sys

import pytest

from edgenext_deploy.remote.fleet import FleetBoard
from edgenext_deploy.remote.link.jobs import Watcher
from edgenext_deploy.remote.link.ssh import SSH_VARIABLE, Route
from edgenext_deploy.remote.session import Session


class LocalBoard:
    """A board, its home, and what a session told about it."""

    def __init__(self, home):
        self.home, self.told = home, []
        self.route = Route("user@board", python=os.path.join(os.path.dirname(sys.executable), "python"))
        tell = self.told.append
        self.watcher = Watcher(say=tell, now=lambda text: None, line=lambda stream, line: tell((stream, line)),
                               step=lambda title, seconds: tell((title, seconds)), leave=lambda title: True)
        self.session = Session(FleetBoard("board", self.route), self.watcher)

    @property
    def root(self):
        return self.home / ".local" / "share" / "edgenext-deploy"

    def says(self, text, name="says"):
        (self.home / name).write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.fixture
def board(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "local_ssh.py")
    monkeypatch.setenv(SSH_VARIABLE, "{} -I -S {} {}".format(sys.executable, script, tmp_path / "home"))
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path / "cache"))
    made = LocalBoard(tmp_path / "home")
    yield made
    made.session.close()
