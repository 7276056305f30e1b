"""Several boards at once: the outcomes, the worst exit code, and Ctrl-C."""
import threading

import pytest

from edgenext_deploy.errors import BadInputError, MissingRuntimeError
from edgenext_deploy.remote import together
from edgenext_deploy.remote.fleet import FleetBoard
from edgenext_deploy.remote.link.jobs import Job
from edgenext_deploy.remote.link.ssh import Route
from edgenext_deploy.remote.screen import Screen, table_lines
from edgenext_deploy.remote.together import as_data, run_together, worst_code

BOARDS = [FleetBoard(name, Route(name)) for name in ("one", "two", "three", "four")]


def work(session):
    name = session.board.name
    if name == "two":
        raise MissingRuntimeError("two: \x1b[31mno answer", "turn it on")
    if name == "three":
        raise BadInputError("three: bad")
    if name == "four":
        raise ZeroDivisionError("x")
    session.skip("environment")
    return {"p50": 1}


def test_one_that_fails_does_not_stop_the_others(capsys):
    with Screen([board.name for board in BOARDS]) as screen:
        outcomes = run_together(BOARDS, work, screen)
    assert [outcome.exit_code for outcome in outcomes] == [0, 6, 3, 1] and worst_code(outcomes) == 6
    data = as_data(outcomes)
    assert data["exit_code"] == 6 and data["hosts"][0]["result"] == {"p50": 1}
    assert data["hosts"][0]["steps"] == [{"title": "environment", "seconds": 0.0, "skipped": True}]
    assert data["hosts"][1]["fix"] == "turn it on" and "this is a bug" in data["hosts"][3]["error"]
    said = capsys.readouterr().err
    assert "\x1b" not in said and "two    failed: two: \\x1b[31mno answer" in said


@pytest.mark.parametrize("left", [True, False])
def test_ctrl_c_asks_once_for_all(left, monkeypatch, capsys):
    stopped, asked, go = [], [], threading.Event()

    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(together, "time", type("", (), {"sleep": interrupt, "monotonic": lambda: 0.0}))
    monkeypatch.setattr(together.Session, "stop_job", lambda self: stopped.append(self.board.name))
    monkeypatch.setattr(Screen, "leave", lambda self, title: asked.append(title) or left)
    with Screen(["one", "two"]) as screen, pytest.raises(KeyboardInterrupt):
        run_together(BOARDS[:2], lambda session: go.wait(10) and {}, screen)
    go.set()
    assert asked == ["the jobs of 2 boards"] and stopped == ([] if left else ["one", "two"])
    assert ("left running" in capsys.readouterr().err) == left


def test_ctrl_c_asks_nothing_where_the_jobs_end_with_the_connection(monkeypatch, capsys):
    asked, go, begun = [], threading.Event(), threading.Barrier(3)

    def work(session):
        session.job = Job("run", "run", [], attached=True)
        begun.wait(10)
        return go.wait(10) and {}

    def interrupt(seconds):
        begun.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(together, "time", type("", (), {"sleep": interrupt, "monotonic": lambda: 0.0}))
    monkeypatch.setattr(Screen, "leave", lambda self, title: asked.append(title) or True)
    with Screen(["one", "two"]) as screen, pytest.raises(KeyboardInterrupt):
        run_together(BOARDS[:2], work, screen)
    go.set()
    assert asked == [] and "left running" not in capsys.readouterr().err


def test_a_board_that_cannot_be_told_to_end_keeps_no_other_from_it(monkeypatch, capsys):
    stopped, go = [], threading.Event()

    def stop_job(session):
        if session.board.name == "one":
            raise MissingRuntimeError("one: no answer")
        stopped.append(session.board.name)

    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(together, "time", type("", (), {"sleep": interrupt, "monotonic": lambda: 0.0}))
    monkeypatch.setattr(together.Session, "stop_job", stop_job)
    monkeypatch.setattr(Screen, "leave", lambda self, title: False)
    with Screen(["one", "two"]) as screen, pytest.raises(KeyboardInterrupt):
        run_together(BOARDS[:2], lambda session: go.wait(10) and {}, screen)
    go.set()
    assert stopped == ["two"] and "one: its job may go on: one: no answer" in capsys.readouterr().err


def test_a_table_leaves_out_what_no_row_has():
    rows = [{"a": 1, "b": None}, {"a": "x\n[red]", "b": ""}]
    assert table_lines(rows, {"a": "A", "b": "B"}) == ["A", "1", "x\\n[red]"]
