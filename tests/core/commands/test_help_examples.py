"""The help of every command ends with two or three examples, and the commands take them."""
import re

import click
import pytest
from command_lines import every_command, parse

from edgenext_deploy.commands.options import examples

COMMANDS = every_command()


def help_of(words):
    command = COMMANDS[words]
    return command.get_help(click.Context(command, info_name=words))


def shown(text):
    """Return the lines under the last heading of a help, which must be that of the examples."""
    return [line.strip() for line in re.split(r"^ *Examples:\n", text, flags=re.M)[-1].strip().splitlines()]


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_the_help_ends_with_examples_that_parse(words):
    lines = shown(help_of(words))
    assert 2 <= len(lines) <= 3
    program = words.split()[0]
    # A group's own command and an old name of a command show how one writes it now.
    other_form = COMMANDS[words].hidden or COMMANDS[words].epilog == COMMANDS[program].epilog
    for line in lines:
        assert (line + " ").startswith((program if other_form else words) + " ")
        parse(line)


def test_examples_keep_their_lines():
    long = "edgenext-models --group paper --json-file " + "x" * 80 + ".json"
    command = click.Command("c", epilog=examples("edgenext-models", long))
    assert shown(command.get_help(click.Context(command))) == ["edgenext-models", long]


@pytest.mark.parametrize("line", ["edgenext-models --no-such", "edgenext-bench compair a b", "edgenext-nothing"])
def test_an_example_that_does_not_parse_is_noticed(line):
    with pytest.raises(click.UsageError):
        parse(line)
