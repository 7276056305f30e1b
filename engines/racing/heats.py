"""Heats: entrants measured in turns in a child process, so that one that crashes or hangs costs nothing but itself.

The child is a module of the benchmarks, whose clock and rules these are; stages use each other against the direction
of imports through child processes.
"""
import json
import os
import signal
import subprocess
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.child_process import python_command
from edgenext_deploy.engines.racing.records import Measured
from edgenext_deploy.engines.selftest.golden_test import SelfTest
from edgenext_deploy.files import shown
from edgenext_deploy.scratch import scratch_folder

_CHILD = "edgenext_deploy.benchmarks.racing.heat_child"
_STDERR = 2
# Engines that are open at the same time: a small board has the memory for this many.
_MOST_IN_TURNS = 8
# For opening, the self-test and the warm-up of one engine, beyond what measuring takes.
_PATIENCE_S = 120.0
# What the child was doing last: the name of an engine, for whoever finds the child dead.
CURRENT, REQUEST, ANSWER = "current", "request.json", "answer.json"


class HeatEngine(NamedTuple):
    """An engine in a heat.

    Attributes:
        name: of the entrant.
        path: of the file.
        options: fields of `RuntimeOptions` that are not the defaults.
        self_test: whether its answer to the golden input is yet to be checked.
    """

    name: str
    path: str
    options: Dict[str, Any] = {}
    self_test: bool = False


class HeatRequest(NamedTuple):
    """What the child is asked to measure in turns.

    Attributes:
        engines: at least one.
        duration_s: seconds of measurement of each.
        yardstick: name of the engine that ratios refer to; empty for the fastest that is stable.
    """

    engines: Tuple[HeatEngine, ...]
    duration_s: float
    yardstick: str = ""


class HeatAnswer(NamedTuple):
    """What came of a heat.

    Attributes:
        yardstick: the engine that ratios refer to.
        measured: by name.
        tests: self-tests that were passed, by name.
        failed: why an engine takes no further part, by name.
    """

    yardstick: str
    measured: Dict[str, Measured]
    tests: Dict[str, SelfTest]
    failed: Dict[str, str]


def run_heat(engines: Sequence[HeatEngine], duration_s: float) -> HeatAnswer:
    """Measure engines in turns; of more than eight, groups in turns, each with the same yardstick.

    Args:
        engines: none gives an empty answer.
        duration_s: seconds of measurement of each.
    """
    total = HeatAnswer("", {}, {}, {})
    waiting = list(engines)
    by_name = {engine.name: engine for engine in engines}
    while waiting:
        yardstick = [by_name[total.yardstick]._replace(self_test=False)] if total.yardstick else []
        group = yardstick + waiting[:_MOST_IN_TURNS - len(yardstick)]
        waiting = waiting[len(group) - len(yardstick):]
        found = _run_group(group, duration_s, total.yardstick)
        measured = dict(found.measured)
        if yardstick:
            measured.pop(total.yardstick, None)  # what it was in its own group counts
        total = HeatAnswer(total.yardstick or found.yardstick, {**total.measured, **measured},
                           {**total.tests, **found.tests}, {**total.failed, **found.failed})
        if yardstick and total.yardstick in found.failed:
            # What was measured against it cannot be compared with the rest: all anew, without it.
            rest = [engine._replace(self_test=engine.self_test and engine.name not in total.tests)
                    for engine in engines if engine.name not in total.failed]
            anew = run_heat(rest, duration_s)
            return anew._replace(tests={**total.tests, **anew.tests}, failed={**total.failed, **anew.failed})
    return total


def _run_group(engines: Sequence[HeatEngine], duration_s: float, yardstick: str) -> HeatAnswer:
    """Measure until all that are left come to an end."""
    failed: Dict[str, str] = {}
    tests: Dict[str, SelfTest] = {}
    left: List[HeatEngine] = list(engines)
    while left:
        here = yardstick if any(engine.name == yardstick for engine in left) else ""
        answer = _run_child(HeatRequest(tuple(left), duration_s, here))
        failed.update(answer.failed)
        tests.update(answer.tests)
        left = [engine._replace(self_test=engine.self_test and engine.name not in tests)
                for engine in left if engine.name not in failed]
        if answer.measured:
            return HeatAnswer(answer.yardstick, answer.measured, tests, failed)
    return HeatAnswer(yardstick, {}, tests, failed)


def _run_child(request: HeatRequest) -> HeatAnswer:
    with scratch_folder() as folder:
        with open(os.path.join(folder, REQUEST), "w", encoding="utf-8") as stream:
            json.dump(json_records.to_json(request), stream)
        # Native code may print to standard output, where the caller's result goes.
        child = subprocess.Popen(python_command(_CHILD, [folder]), stdin=subprocess.DEVNULL, stdout=_STDERR)
        try:
            code = child.wait((_PATIENCE_S + 10 * request.duration_s) * len(request.engines))
            if code == -signal.SIGINT:
                raise KeyboardInterrupt
            how = "crashed (signal {})".format(-code) if code < 0 else "ended its process with code {}".format(code)
        except subprocess.TimeoutExpired:
            how = "did not come to an end"
        finally:
            child.kill()
            child.wait()
        answer = os.path.join(folder, ANSWER)
        if os.path.exists(answer):
            return json_records.from_json(HeatAnswer, json_records.read_file(answer, "heat", ""), "heat")
        return HeatAnswer("", {}, {}, {_blamed(folder, how): how})


def _blamed(folder: str, how: str) -> str:
    """Return the engine that the dead child was busy with."""
    try:
        with open(os.path.join(folder, CURRENT), encoding="utf-8") as stream:
            return stream.read()
    except OSError as error:
        raise RuntimeError("the process that measures {}; its messages are above".format(shown(how))) from error
