"""The command in this process, without the children that most tests do not ask."""
import subprocess

import exports
import pytest


@pytest.fixture
def quick_tools(monkeypatch):
    """Have `export_onnx` and the command leave out TensorRT-RTX, and simplify in this process."""
    exports.replace_tools(monkeypatch)


@pytest.fixture
def export_here(capsys, quick_tools):
    """Return a function that runs ``edgenext-export`` in this process and returns what it did, as a process does."""
    from edgenext_deploy.commands.entry import run_command
    from edgenext_deploy.export.commands.cli import export_command

    def run(*arguments):
        capsys.readouterr()
        given = [str(argument) for argument in arguments]
        with pytest.raises(SystemExit) as stopped:
            run_command(export_command, given)
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(given, stopped.value.code, captured.out, captured.err)

    return run
