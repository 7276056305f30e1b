"""Exit codes of commands, each in this process and, where the process matters, in a child."""
import os
import subprocess
import sys

import click
import pytest
from paths import ROOT

from edgenext_deploy.commands.entry import common_options, entry_point, run_command
from edgenext_deploy.errors import (
    BadInputError,
    EdgeNextError,
    IncompatibleError,
    MissingRuntimeError,
    UsageError,
    VerificationError,
)
from edgenext_deploy.version import __version__


def run(capsys, function, *arguments):
    """Run a command whose body is `function`; returns (exit code, stdout, stderr)."""
    command = click.command()(common_options(function))
    with pytest.raises(SystemExit) as stop:
        run_command(command, list(arguments))
    output = capsys.readouterr()
    return stop.value.code, output.out, output.err


def raising(error):
    def function():
        raise error

    return function


@pytest.mark.parametrize("kind, code", [
    (UsageError, 2), (BadInputError, 3), (IncompatibleError, 4), (VerificationError, 5),
    (MissingRuntimeError, 6)])
def test_each_error_has_its_exit_code_and_two_lines(capsys, kind, code):
    found, out, err = run(capsys, raising(kind("it broke", "mend it")))
    assert found == code == kind.exit_code
    assert out == "" and err == "error: it broke\n  fix: mend it\n"
    assert run(capsys, raising(kind("it broke")))[2] == "error: it broke\n"


def test_success_and_a_returned_code(capsys):
    assert run(capsys, lambda: click.echo("fine")) == (0, "fine\n", "")
    assert run(capsys, lambda: 3)[0] == 3
    assert run(capsys, lambda: "text")[0] == 0


def test_a_bug_is_one_line_and_exit_code_1(capsys):
    code, out, err = run(capsys, raising(ZeroDivisionError("division by zero")))
    assert code == 1 and out == "" and "Traceback" not in err
    assert "bug" in err and "ZeroDivisionError: division by zero" in err and "--debug" in err
    assert EdgeNextError("x").exit_code == 1


@pytest.mark.parametrize("error", [BadInputError("it broke"), ZeroDivisionError("it broke")])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(capsys, error):
    plain, debug = run(capsys, raising(error)), run(capsys, raising(error), "--debug")
    assert debug[0] == plain[0] and plain[2] in debug[2]
    assert "Traceback" in debug[2] and "Traceback" not in plain[2]


def test_usage_errors_of_click_are_exit_code_2(capsys):
    code, out, err = run(capsys, lambda: None, "--no-such-option")
    assert code == 2 and out == "" and "no-such-option" in err


def test_help_and_version_are_exit_code_0(capsys):
    code, out, _ = run(capsys, lambda: None, "--help")
    assert code == 0 and "--debug" in out and "--version" in out
    code, out, _ = run(capsys, lambda: None, "--version")
    assert code == 0 and __version__ in out


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), click.Abort()])
def test_interruption_is_exit_code_130(capsys, stop):
    assert run(capsys, raising(stop)) == (130, "", "interrupted\n")


def test_entry_point_takes_the_process_arguments(capsys, monkeypatch):
    command = click.command()(click.argument("word")(common_options(lambda word: click.echo(word))))
    monkeypatch.setattr(sys, "argv", ["program", "hello"])
    with pytest.raises(SystemExit) as stop:
        entry_point(command)()
    assert stop.value.code == 0 and capsys.readouterr().out == "hello\n"


def test_groups_work(capsys):
    group = click.Group(commands={"sub": click.command()(common_options(raising(BadInputError("in sub"))))})
    with pytest.raises(SystemExit) as stop:
        run_command(group, ["sub"])
    assert stop.value.code == 3 and capsys.readouterr().err == "error: in sub\n"


PROGRAM = """
import click
from edgenext_deploy.commands.entry import common_options, run_command

@click.command()
@common_options
def command():
    for line in range({lines}):
        click.echo("gr\\u00f6\\u00dfe %d" % line)

run_command(command)
"""
LETTERS = "2 \\u00d7 \\u2013 \\u00b0C"


def child(lines, **options):
    environment = dict(os.environ, **options.pop("environment", {}))
    return subprocess.Popen([sys.executable, "-c", PROGRAM.format(lines=lines)], cwd=ROOT, env=environment,
                            stderr=subprocess.PIPE, **options)


def test_reader_that_goes_away_is_no_error():
    process = child(100000, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0 and error == b""


def test_reader_that_goes_away_from_a_table_of_rich_is_no_error():
    program = PROGRAM.format(lines=1000).replace("click.echo", "Console().print")
    process = subprocess.Popen([sys.executable, "-c", "from rich.console import Console\n" + program], cwd=ROOT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0 and error == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_to_a_full_disk_is_exit_code_2():
    with open("/dev/full", "wb") as full:
        process = child(10, stdout=full)
        _, error = process.communicate()
    assert process.returncode == 2 and b"No space left on device" in error and b"bug" not in error


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_commands_run_in_the_locale_of_a_service(locale):
    process = child(1, stdout=subprocess.PIPE, environment={"LC_ALL": locale, "LANG": locale})
    out, error = process.communicate()
    assert (process.returncode, error) == (0, b"") and out == "größe 0\n".encode("utf-8")


@pytest.mark.parametrize(("encoding", "shown"), [
    ("ascii", "2 × – °C 0\n".encode("utf-8")), ("latin-1", "2 × ? °C 0\n".encode("latin-1"))])
def test_a_letter_that_the_terminal_lacks_costs_no_lines(encoding, shown):
    program = PROGRAM.format(lines=1).replace("click.echo", "print").replace("gr\\u00f6\\u00dfe", LETTERS)
    out = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT,
                                  env=dict(os.environ, PYTHONIOENCODING=encoding))
    assert out == shown
