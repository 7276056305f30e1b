"""``run``: an engine's answers on the board."""
from typing import Tuple

import click

from edgenext_deploy.commands.entry import common_options
from edgenext_deploy.commands.options import Command, examples
from edgenext_deploy.remote.commands.choice import current_choice
from edgenext_deploy.remote.commands.run_on_boards import run_on_boards


@click.command("run", cls=Command, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
               epilog=examples("edgenext-remote nano run xxs.onnx photo.jpg",
                               "edgenext-remote nano run xxs.onnx csi://0 --serve 8080"))
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="ENGINE IMAGE...|STREAM")
@common_options
def run_command(words: Tuple[str, ...]) -> int:
    """Run edgenext-run on the board, with its options; docs/running.md has them.

    Engine and photos are those of this machine, and are copied if they are not there. Where the board has TensorRT, the
    plan of a graph runs in its place, built first if need be; --runtime onnxruntime runs the graph. Cameras are the
    board's. What --save and --json-file write is fetched. The page of --serve PORT is forwarded to this machine's port.
    The run ends with the connection, or with Ctrl-C.
    """
    return run_on_boards(current_choice().boards(), "edgenext-run", words, current_choice().wait, plans=True)
