"""Writing a plan is cut short at any moment: what is left is accepted only if it is whole."""
import os
import random
import signal
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
    assert accepted > 0
    assert len(seen) > 1, "no child got as far as to replace the plan"
    write_one(path, 0)  # whatever a cut left behind, the next build repairs it
    assert check_after_a_cut(path)


@pytest.mark.parametrize("function", ["open", "fsync", "chmod", "replace"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_step(tmp_path, monkeypatch, function, after):
    """A cut just before and just after each call that changes the disk."""
    outcomes = []
    real = getattr(os, function)
    for step in range(1, 5):
        path = str(tmp_path / "step{}.plan".format(step))
        write_one(path, 0)

        def cut(path=path, step=step):
            calls = []

            def dying(*arguments, **options):
                calls.append(arguments)
                if len(calls) == step and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                result = real(*arguments, **options)
                if len(calls) == step and after:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            setattr(os, function, dying)
            write_one(path, 1)

        _, status = os.waitpid(in_a_child(cut), 0)
        if os.WIFSIGNALED(status):
            outcomes.append((check_after_a_cut(path), contents(path) == PLANS[0]))
    assert len(outcomes) == 2, "two files, so two calls of each kind"
    if function == "replace":
        # Old pair, then new plan with old sidecar, then new pair.
        states = [(True, True), (False, False), (True, False)]
        assert outcomes == (states[1:] if after else states[:2])
    else:
        assert outcomes == [(True, True), (True, True)]
