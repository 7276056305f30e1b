"""The installed commands by name; commands run in this process; command lines read as they would, without running."""
import configparser
import importlib
import inspect
import shlex
from pathlib import Path

import click
import paths
import pytest

from edgenext_deploy.commands.entry import run_command


def scripts():
    """Return the installed commands: name to ``module:function``, as setup.cfg has them."""
    settings = configparser.ConfigParser()
    settings.read(str(Path(paths.ROOT, "setup.cfg")))
    lines = settings["options.entry_points"]["console_scripts"].strip().splitlines()
    return dict(line.split(" = ") for line in lines)


def module_of(name):
    """Return the name of the module of an installed command."""
    module, function = scripts()[name].split(":")
    return inspect.getclosurevars(getattr(importlib.import_module(module), function)).nonlocals["module"]


def command_of(name):
    """Return the click command behind an installed command."""
    main = importlib.import_module(module_of(name)).main
    return inspect.getclosurevars(main).nonlocals["command"]


def every_command():
    """Return every command and subcommand: the words that call it, and the click command."""
    found = {}
    for name in scripts():
        waiting = [(name, command_of(name))]
        while waiting:
            words, command = waiting.pop()
            found[words] = command
            waiting += [(words + " " + part, below) for part, below in getattr(command, "commands", {}).items()]
    return found


def parse(line):
    """Let click read a command line as the command itself would, without running it.

    Raises:
        click.UsageError: no such command or option, or a value that the option does not take.
    """
    name, *arguments = shlex.split(line)
    if name not in scripts():
        raise click.UsageError("no such command: " + name)
    command = command_of(name)
    context = command.make_context(name, arguments)
    while isinstance(context.command, click.Group):
        # click 8.0 (Python 3.6) calls it protected_args.
        held = context._protected_args if hasattr(context, "_protected_args") else context.protected_args
        words = [*held, *context.args]
        if not words:
            break
        found, command, rest = context.command.resolve_command(context, words)
        context = command.make_context(found, rest, parent=context)


def run_here(capture, command, *arguments):
    """Run a click command in this process, as the console script does.

    Args:
        capture: the fixture capsys or capfd.
        command: the click command.
        arguments: its words; paths and numbers are made text.

    Returns:
        exit code, standard output and standard error.
    """
    capture.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run_command(command, [str(argument) for argument in arguments])
    captured = capture.readouterr()
    assert "Traceback" not in captured.err or "--debug" in arguments
    return stopped.value.code, captured.out, captured.err
