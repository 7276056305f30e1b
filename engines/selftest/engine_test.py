"""An engine file's answer to the golden input of its manifest, here or in a child process."""
import json
import os
from typing import Any, Dict, NamedTuple, Optional, Tuple

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts.engine_file import open_engine_file
from edgenext_deploy.commands.child import KilledError, run_module
from edgenext_deploy.engines.selftest.golden_test import SelfTest, self_test
from edgenext_deploy.errors import IncompatibleError, MissingRuntimeError, VerificationError
from edgenext_deploy.machine.facts import SWAP_ADVICE
from edgenext_deploy.runtime.options import RuntimeOptions
from edgenext_deploy.scratch import scratch_folder

_TIME_LIMIT_S = 300.0


class EngineTest(NamedTuple):
    """What came of testing an engine file.

    Attributes:
        engine: path of the engine.
        runtime: runtime that ran it, such as ``onnxruntime``.
        self_test: error, tolerance and latency.
    """

    engine: str
    runtime: str
    self_test: SelfTest

    def to_json(self) -> Dict[str, Any]:
        """Return the result as JSON data, the fields of `self_test` among the others."""
        return dict(self.self_test._asdict(), engine=self.engine, runtime=self.runtime)


def test_engine(path: str, *, runtime: Optional[RuntimeOptions] = None) -> EngineTest:
    """Run an engine on the golden input of its manifest and compare the answer with the golden output.

    Needs neither torch nor, for a plan, ONNX Runtime.

    Args:
        path: a plan or an ONNX file, with its manifest next to it.
        runtime: how to run it.

    Raises:
        BadInputError: not an engine, or its manifest has no usable golden input or output.
        IncompatibleError: a plan for another TensorRT or GPU.
        MissingRuntimeError: what the engine needs is not installed, or there is no GPU.
        VerificationError: the answer is wrong.
    """
    from edgenext_deploy.runtime.open import open_session
    from edgenext_deploy.runtime.table import require_engine

    options = RuntimeOptions() if runtime is None else runtime
    require_engine(path)
    file = open_engine_file(path, trust=options.trust)
    manifest = file.manifest()
    with open_session(file, options=options) as session:
        return EngineTest(path, str(session.describe()["runtime"]), self_test(session, manifest))


def describe(result: SelfTest) -> str:
    """Return a passed self-test as a few words."""
    return "passed: error {:.2g}, {:g} allowed in {}, {} top-1, {:.2f} ms".format(
        result.max_relative_error or 0.0, result.tolerance, result.precision,
        "same" if result.top1_equal else "another", result.latency_ms)


def verify_in_child(path: str) -> Tuple[Optional[SelfTest], str]:
    """Test a plan in a child process: one that crashes fails its test, and not the build.

    Returns:
        The result, and the reason why there is none where this machine cannot run the plan.

    Raises:
        VerificationError: the plan gives a wrong answer, crashes its process, or does not come to an end.
    """
    with scratch_folder() as folder:
        # Not from its standard output, on which TensorRT may print too.
        answer = os.path.join(folder, "answer.json")
        try:
            run_module("edgenext_deploy.engines.cli", ["test", path, "--json-file", answer], _TIME_LIMIT_S)
        except KilledError as error:
            raise VerificationError("the plan cannot be run: {}".format(error.message), SWAP_ADVICE) from error
        except (MissingRuntimeError, IncompatibleError) as error:
            return None, error.message
        except RuntimeError as error:
            raise VerificationError("the plan cannot be run: {}".format(error),
                                    "build again; if it fails again, build with --fp32 and report it") from error
        with open(answer, encoding="utf-8") as stream:
            found = json.load(stream)
    return json_records.from_json(SelfTest, {name: found.get(name) for name in SelfTest._fields}, "self-test"), ""
