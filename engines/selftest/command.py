"""``edgenext-build test ENGINE``: an engine's answer to its golden input."""
from typing import Optional

import click

from edgenext_deploy.commands.entry import INPUT, common_options
from edgenext_deploy.commands.options import Command, examples, json_options, write_result


@click.command("test", cls=Command, short_help="Run an engine on its golden input and compare.", epilog=examples(
    "edgenext-build test xxs.plan", "edgenext-build test xxs.onnx --json"))
@click.argument("engine", type=INPUT)
@click.option("--trust", is_flag=True, help="Accept a plan without a sidecar; it can run code.")
@json_options
@common_options
def test_command(engine: str, trust: bool, as_json: bool, json_file: Optional[str]) -> None:
    """Run ENGINE, a plan or an ONNX file, on the golden input of its manifest and compare with the golden output.

    Exit code 5 if the answer is wrong. Needs neither torch nor, for a plan, ONNX Runtime.
    """
    from edgenext_deploy.engines.selftest.engine_test import describe, test_engine
    from edgenext_deploy.runtime.options import RuntimeOptions

    found = test_engine(engine, runtime=RuntimeOptions(trust=trust))
    write_result(found.to_json(), as_json, json_file, lambda: click.echo(
        "{}: {} ({})".format(engine, describe(found.self_test), found.runtime)))
