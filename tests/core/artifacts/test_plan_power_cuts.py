"""Writing a plan is cut short at any moment: what is left is accepted only if it is whole."""
import functools
import os
import random
import signal
import threading
import time

import pytest
from plan_samples import NANO, RECORD, check_plan, contents, nano_plan, read_plan

from edgenext_deploy import files
from edgenext_deploy.artifacts.plan_check import write_plan
from edgenext_deploy.errors import BadInputError

PLANS = [nano_plan(size=200000 + 977 * number, filler=number + 1) for number in range(4)]


def in_a_child(work):
    """Fork, run `work` there, and return the child's number; the child never returns."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(77)
    return child


def check_after_a_cut(path):
    """Return whether the pair is accepted; if so it is one of the plans, whole, with its own record."""
    try:
        data, record = read_plan(path, NANO)
    except BadInputError:
        with pytest.raises(BadInputError):
            check_plan(path, NANO)
        return False
    number = PLANS.index(data)
    assert record.onnx_file == "plan-{}.onnx".format(number)
    assert record.plan.sha256 == files.sha256_of_bytes(data)
    return True


def write_one(path, number):
    write_plan(path, PLANS[number], RECORD._replace(onnx_file="plan-{}.onnx".format(number)))


def test_killed_at_random_moments(tmp_path):
    path = str(tmp_path / "xxs.plan")
    write_one(path, 0)
    chance = random.Random(20261122)
    accepted, seen = 0, set()
    deadline = time.time() + 60

    def write_for_ever():
        number = 0
        while True:
            number = (number + 1) % len(PLANS)
            write_one(path, number)

    kills = 0
    while kills < 30 or ((kills < 60 or len(seen) < 2) and time.time() < deadline):
        child = in_a_child(write_for_ever)
        # On a busy machine a child needs longer to get as far as to replace the plan.
        time.sleep(chance.uniform(0.001, 0.03 if len(seen) > 1 else 0.03 * (1 + kills // 10)))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        kills += 1
        accepted += check_after_a_cut(path)
        seen.add(contents(path)[28])
    assert accepted == kills
    assert len(seen) > 1, "no child got as far as to replace the plan"
    write_one(path, 0)  # whatever a cut left behind, the next build repairs it
    assert check_after_a_cut(path)


@pytest.mark.parametrize("function", ["open", "fsync", "chmod", "replace"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_step(tmp_path, function, after):
    """A cut just before and just after each call that changes the disk leaves the old pair or the new one."""
    outcomes = []
    real = getattr(os, function)
    path = str(tmp_path / "xxs.plan")
    while True:
        write_one(path, 0)
        assert sorted(os.listdir(str(tmp_path))) == ["xxs.plan", "xxs.plan.json"], "the next write clears what was left"

        def cut(last):
            calls = []

            def dying(*arguments, **options):
                calls.append(arguments)
                if len(calls) == last and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                result = real(*arguments, **options)
                if len(calls) == last and after:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            setattr(os, function, dying)
            write_one(path, 1)
            os._exit(0)

        _, status = os.waitpid(in_a_child(functools.partial(cut, len(outcomes) + 1)), 0)
        if not os.WIFSIGNALED(status):
            assert status == 0
            break
        assert check_after_a_cut(path)
        outcomes.append(contents(path) == PLANS[1])
    # Two files; every name is on the disk before the next one changes.
    assert len(outcomes) >= 2 and outcomes == sorted(outcomes)
    if function == "replace":
        assert outcomes == [after, True]
    elif function == "chmod":
        assert outcomes == [False, False]
    elif function == "fsync":
        assert outcomes == [False, False, True, True], "file, file, folder, folder"


def test_two_writers_of_one_pair(tmp_path):
    """Whoever reads meanwhile finds a pair that fits, and so do those who come later."""
    path = str(tmp_path / "xxs.plan")
    write_one(path, 0)

    def write_often(first):
        for number in range(60):
            write_one(path, (first + number) % len(PLANS))
        os._exit(0)

    writers = [in_a_child(functools.partial(write_often, first)) for first in (0, 2)]
    reads = 0
    while writers:
        assert check_after_a_cut(path)
        reads += 1
        writers = [writer for writer in writers if os.waitpid(writer, os.WNOHANG) == (0, 0)]
    assert reads > 20 and check_after_a_cut(path)
    assert sorted(os.listdir(str(tmp_path))) == ["xxs.plan", "xxs.plan.json"]


def test_writers_race_for_a_pair_from_many_threads(tmp_path):
    """Without a lock 21 of 150 races left a graph next to the manifest of another one."""
    first, second = str(tmp_path / "p.onnx"), str(tmp_path / "p.json")
    for number in range(60):
        pairs = [os.urandom(1000) for _ in range(2)]
        threads = [threading.Thread(target=files.write_files_atomically, args=(
            {first: data, second: files.sha256_of_bytes(data).encode()},)) for data in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert contents(second).decode() == files.sha256_of_file(first), number
