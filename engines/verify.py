"""Does the built plan give the right answer here? The golden input through the real engine, in a child process.

A plan that crashes its process then fails its test, and not the build's report.
"""
import json
from typing import TYPE_CHECKING, Optional, Tuple

import click

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.commands.child import run_module
from edgenext_deploy.commands.entry import INPUT, common_options
from edgenext_deploy.errors import IncompatibleError, MissingRuntimeError, VerificationError

if TYPE_CHECKING:
    from edgenext_deploy.engines.selftest.golden_test import SelfTest

_TIME_LIMIT_S = 300.0


@click.command("test", short_help="Run an engine on its golden input and compare.")
@click.argument("engine", type=INPUT)
@click.option("--trust", is_flag=True, help="Accept a plan without a sidecar; it can run code.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@common_options
def test_command(engine: str, trust: bool, as_json: bool) -> None:
    """Run ENGINE, a plan or an ONNX file, on the golden input of its manifest and compare with the golden answer.

    Exit code 5 if the answer is wrong. Needs neither torch nor, for a plan, ONNX Runtime.
    """
    from edgenext_deploy.engines.selftest.golden_test import self_test
    from edgenext_deploy.runtime.open import open_session
    from edgenext_deploy.runtime.options import RuntimeOptions
    from edgenext_deploy.runtime.table import require_engine

    require_engine(engine)
    manifest = manifests.read_for(engine, trust)
    with open_session(engine, options=RuntimeOptions(trust=trust)) as session:
        result = self_test(session, manifest)
        runtime = session.describe()["runtime"]
    if as_json:
        click.echo(json.dumps(result._asdict()))
    else:
        click.echo("{}: {} ({})".format(engine, describe(result), runtime))


def describe(result: "SelfTest") -> str:
    """Return a passed self-test as a few words."""
    return "passed: error {:.2g}, {:g} allowed in {}, {} top-1, {:.2f} ms".format(
        result.max_relative_error or 0.0, result.tolerance, result.precision,
        "same" if result.top1_equal else "another", result.latency_ms)


def verify_in_child(path: str) -> "Tuple[Optional[SelfTest], str]":
    """Test a plan in a child process.

    Returns:
        The result, and the reason why there is none where this machine cannot run the plan.

    Raises:
        VerificationError: the plan gives a wrong answer, crashes its process, or does not come to an end.
    """
    from edgenext_deploy.engines.selftest.golden_test import SelfTest

    try:
        printed = run_module("edgenext_deploy.engines.cli", ["test", path, "--json"], _TIME_LIMIT_S)
    except (MissingRuntimeError, IncompatibleError) as error:
        return None, error.message
    except RuntimeError as error:
        raise VerificationError("the plan cannot be run: {}".format(error),
                                "build again; if it fails again, build with --fp32 and report it") from error
    return json_records.from_json(SelfTest, json.loads(printed.strip().splitlines()[-1]), "self-test"), ""
