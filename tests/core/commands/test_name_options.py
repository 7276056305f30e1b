"""Options whose help lists a table."""
import click

from edgenext_deploy.commands.name_options import NameOption, device_option, target_option
from edgenext_deploy.targets import board_names, target_names, targets_with_plans


def help_of(option):
    @click.command()
    @option
    def command(**given):
        pass

    return " ".join(command.get_help(click.Context(command, info_name="c", terminal_width=1000)).split())


def test_the_names_are_those_of_the_table():
    assert "--target NAME One of nano, xavier," in help_of(target_option("One of {names}."))
    assert ", ".join(target_names()) in help_of(target_option("{names}"))
    assert ", ".join(board_names()) in help_of(device_option("{names}"))


def test_some_commands_take_some_of_them():
    shown = help_of(target_option("{names}", targets_with_plans))
    assert "rtx" in shown and "onnxruntime" not in shown


def test_the_names_are_asked_for_when_help_is():
    names = ["first"]
    option = click.option("--toy", cls=NameOption, names=lambda: names, help="Of {names}.")
    assert "Of first." in help_of(option)
    names.append("second")
    assert "Of first, second." in help_of(option)


def test_a_hidden_option_stays_hidden():
    assert "--toy" not in help_of(click.option("--toy", cls=NameOption, names=list, help="{names}", hidden=True))
