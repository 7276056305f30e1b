"""A board's environment: its keys, the digests of what it gets, and what is kept of older ones."""
import json
import os
import time

import pytest

from edgenext_deploy.errors import MissingRuntimeError
from edgenext_deploy.remote.link.jobs import Job
from edgenext_deploy.remote.setting_up import environment, wheels
from edgenext_deploy.remote.setting_up.environment import environment_for, keys_for, setup_job
from edgenext_deploy.remote.setting_up.pins import PINS, PYCUDA, digests_of, release_of, requirements

HELLO = {"python": [3, 6, 9], "executable": "/usr/bin/python3", "machine": "aarch64", "folder": "/home/u/x",
         "ready": [], "packages": []}


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """Our own wheel, which a test may change."""
    path = tmp_path / "edgenext_deploy-1-py3-none-any.whl"
    path.write_bytes(b"one")
    for module in (environment, wheels):
        monkeypatch.setattr(module, "own_wheel", lambda: str(path))
    return path


def test_a_changed_line_of_ours_leaves_the_packages(wheel):
    first = keys_for(HELLO)
    wheel.write_bytes(b"two")
    second = keys_for(HELLO)
    assert first.packages == second.packages and first.code != second.code
    assert first.code.rpartition("-")[0] == first.packages
    hello = dict(HELLO, ready=[first.code], packages=[first.packages])
    made = environment_for(hello, False)
    assert [path for _, path, _ in made.files] == [str(wheel)]
    titles = [step["title"] for step in setup_job(hello, made, True).steps]
    assert titles == ["our environment", "our code", "launchers", "ready"]


def test_pip_takes_only_what_is_known(wheel, monkeypatch):
    monkeypatch.setattr(environment, "fetched_wheels", lambda *_: [])
    for offline in (False, True):
        steps = setup_job(HELLO, environment_for(HELLO, offline), True).steps
        installs = [step for step in steps if "install" in step.get("run", ())]
        assert len(installs) == 4
        for step in installs:
            (text,) = [text for name, text in step["write"].items() if name.endswith("/requirements.txt")]
            assert "--require-hashes" in step["run"] and "--no-deps" in step["run"]
            assert all(" --hash=sha256:" in line for line in text.splitlines()) and text


def test_pycuda_may_fail_and_is_tried_again(board, wheel, monkeypatch):
    hello = dict(HELLO, ready=[keys_for(HELLO).code], packages=[keys_for(HELLO).packages], cuda=True)
    asked, ran = [], []
    connection = type("", (), {"hello": hello, "close": lambda self: None, "ask": lambda self, do, argv, timeout_s: (
        asked.append(argv), {"code": 0})[1]})()
    monkeypatch.setattr(board.session, "connect", lambda: connection)
    monkeypatch.setattr(board.session, "run", ran.append)
    board.session.setup()
    (job,) = ran
    assert [step["optional"] for step in job.steps] == [True, True] and job.again
    assert job.steps[-1]["title"] == "pycuda, compiled there" and "pycuda is missing" in board.told[-1]
    # Not by a measurement: it takes minutes.
    hello["model"] = ""
    monkeypatch.setattr(board.session, "facts", lambda: type("", (), {"environment": None})())
    board.session.require_ready()
    assert len(ran) == 1


@pytest.mark.parametrize("pins", [pytest.param(pins, id="{}.{}".format(*python)) for python, pins in PINS.items()])
def test_every_release_has_its_digests(pins):
    for pin in pins:
        assert digests_of(pin), pin


def test_every_release_for_pycuda_has_its_digests():
    assert set(PYCUDA) == set(PINS)
    for groups in PYCUDA.values():
        for _, pins in groups:
            assert all(" --hash=sha256:" in line for line in requirements(pins).splitlines())


def test_names_of_files():
    assert release_of("importlib_metadata-4.8.3-py3-none-any.whl") == "importlib-metadata==4.8.3"
    assert release_of("pycuda-2022.1.tar.gz") == "pycuda==2022.1"
    assert len(digests_of("numpy==1.19.4")) >= 2 and digests_of("numpy==9") == ()


def test_another_file_of_the_same_name_is_not_sent(tmp_path, monkeypatch):
    """A damaged cache, or somebody else's wheel in it: it is fetched again, and pip checks what comes."""
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path))
    fetched = []

    def fetch(python, machine, pins, folders):
        fetched.extend(pins)
        raise MissingRuntimeError("no network")

    monkeypatch.setattr(wheels, "_fetch", fetch)
    for attempt in range(2):
        with pytest.raises(MissingRuntimeError):
            wheels.fetched_wheels([3, 6, 9], "aarch64", ["click==8.0.4"])
        (folder,) = [tmp_path / "wheels" / "x"] if attempt else [tmp_path / "wheels"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "click-8.0.4-py3-none-any.whl").write_bytes(b"forged")
    assert fetched == ["click==8.0.4"] * 2
    assert wheels._known_wheel("click==8.0.4", str(folder)) is None


def test_a_network_that_is_too_slow_is_no_bug(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path))
    monkeypatch.setattr(wheels, "_DOWNLOAD_S", 0.01)
    monkeypatch.setattr(wheels, "python_command", lambda module, words: ["sleep", "10"])
    with pytest.raises(MissingRuntimeError, match=r"within 0\.01 s"):
        wheels.fetched_wheels([3, 6, 9], "aarch64", ["click==8.0.4"])


def age(path, seconds):
    os.utime(str(path), (time.time() - seconds,) * 2)


def test_the_newest_environments_are_kept_with_their_packages(board):
    root = board.root
    for number, (packages, code) in enumerate([("p1", "a"), ("p2", "b"), ("p1", "c"), ("p1", "d")]):
        for kind, name in (("packages", packages), ("venvs", "{}-{}".format(packages, code))):
            (root / kind / name).mkdir(parents=True, exist_ok=True)
            (root / kind / name / "ready.json").write_text("{}")
            age(root / kind / name / "ready.json", 100 - number)
    (root / "venvs" / "p1-half").mkdir()
    for name in ("old", "new", "named"):
        (root / "wheels" / name).mkdir(parents=True)
        age(root / "wheels" / name, 0 if name == "new" else 1e6)
    assert board.session.hello["ready"] == ["p1-a", "p2-b", "p1-c", "p1-d"]
    board.session.run(Job("tidy", "tidy", [{"title": "tidy", "tidy": {
        "environments": 2, "made": "p1-d", "wheels": ["named"]}}]))
    assert sorted(os.listdir(str(root / "venvs"))) == ["p1-c", "p1-d"]
    assert os.listdir(str(root / "packages")) == ["p1"]
    assert sorted(os.listdir(str(root / "wheels"))) == ["named", "new"]


def test_a_clock_that_is_behind_costs_no_environment_that_was_just_made(board):
    """A Nano has no battery for its clock."""
    for kind, name, seconds in (("packages", "p1", 0), ("venvs", "p1-a", 20), ("venvs", "p1-b", 10),
                                ("venvs", "p1-made", 1e8)):
        (board.root / kind / name).mkdir(parents=True)
        (board.root / kind / name / "ready.json").write_text("{}")
        age(board.root / kind / name / "ready.json", seconds)
    board.session.run(Job("tidy", "tidy", [{"title": "tidy", "tidy": {
        "environments": 2, "made": "p1-made", "wheels": []}}]))
    assert sorted(os.listdir(str(board.root / "venvs"))) == ["p1-b", "p1-made"]


def test_an_environment_without_its_packages_is_not_ready(board):
    (board.root / "venvs" / "p-a").mkdir(parents=True)
    (board.root / "venvs" / "p-a" / "ready.json").write_text("{}")
    assert board.session.hello["ready"] == []


def test_what_somebody_else_has_made_meanwhile_is_not_made_again(board):
    (board.root / "made").mkdir(parents=True)
    board.session.run(Job("j", "j", [{"title": "x", "unless": "made", "run": ["/no/such"]},
                                     {"title": "y", "write": {"there": json.dumps("ü")}, "unless": "missing"}]))
    assert (board.root / "there").exists()
