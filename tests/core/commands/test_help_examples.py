"""The help of every command ends with two or three examples, and the commands take them."""
import click
import pytest
from command_lines import every_command, parse
from documented import examples_of

from edgenext_deploy.commands.options import examples

COMMANDS = every_command()


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_the_help_ends_with_examples_that_parse(words):
    lines = examples_of(words, COMMANDS[words])
    assert 2 <= len(lines) <= 4
    program = words.split()[0]
    # A group's own command and an old name of a command show how one writes it now.
    other_form = COMMANDS[words].hidden or COMMANDS[words].epilog == COMMANDS[program].epilog
    for line in lines:
        # Between edgenext-remote and its command stand boards.
        assert [word for word in line.split() if other_form or word in words.split()][:1] == [program]
        assert other_form or set(words.split()) <= set(line.split())
        parse(line)


def test_examples_keep_their_lines():
    long = "edgenext-models --group paper --json-file " + "x" * 80 + ".json"
    command = click.Command("c", epilog=examples("edgenext-models", long))
    assert examples_of("c", command) == ["edgenext-models", long]


@pytest.mark.parametrize("line", ["edgenext-models --no-such", "edgenext-bench compair a b", "edgenext-nothing"])
def test_an_example_that_does_not_parse_is_noticed(line):
    with pytest.raises(click.UsageError):
        parse(line)
