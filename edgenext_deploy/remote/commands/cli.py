"""``edgenext-remote [USER@]HOST [HOST...] COMMAND``: its commands, put together."""
from typing import Any, List, Optional, Tuple

import click

from edgenext_deploy.commands.entry import INPUT, common_options, entry_point
from edgenext_deploy.commands.options import examples
from edgenext_deploy.errors import UsageError, suggestion
from edgenext_deploy.remote.commands.choice import Choice
from edgenext_deploy.remote.commands.engine import bench_command, build_command, push_command
from edgenext_deploy.remote.commands.logs import logs_command
from edgenext_deploy.remote.commands.machine import doctor_command, setup_command
from edgenext_deploy.remote.commands.run import run_command
from edgenext_deploy.remote.commands.shell_line import shell_line_command

_COMMANDS = (setup_command, doctor_command, push_command, build_command, run_command, bench_command, logs_command,
             shell_line_command)


class _Group(click.Group):
    """A group with hosts in front of the command."""

    def parse_args(self, context: click.Context, args: List[str]) -> List[str]:
        """Parse the hosts as values of an option: click lets no argument of a group take several words."""
        parser = self.make_parser(context)
        parser.allow_interspersed_args = True
        for index, word in enumerate(args):
            if word not in self.commands:
                continue
            try:
                hosts = parser.parse_args(args=list(args[:index]))[1]
            except click.UsageError:  # the word is the value of an option
                continue
            options = _without(args[:index], hosts)
            chosen = [part for host in hosts for part in ("--host", host)]
            rest: List[str] = super().parse_args(context, [*options, *chosen, *args[index:]])
            return rest
        asked = [word for word in args if word in ("--help", "--version")]
        if not asked:
            self._require_command(parser, args)
        rest = super().parse_args(context, asked or args)
        return rest

    def _require_command(self, parser: Any, args: List[str]) -> None:
        """Raise UsageError if there are words and none is a command: click would take the first one, a host, for it."""
        parser.ignore_unknown_options = True
        words = [word for word in parser.parse_args(args=list(args))[1] if not word.startswith("-")]
        if words:
            meant = next(filter(None, (suggestion(word, self.commands) for word in words)), "")
            raise UsageError("no command among the words: {}{}".format(" ".join(words), meant),
                             "choose one of: {}".format(", ".join(sorted(self.commands))))

    def format_usage(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the usage as it is typed."""
        formatter.write_usage(context.command_path, "[USER@]HOST [HOST...] [OPTIONS] COMMAND [ARGS]...")


def _without(words: List[str], hosts: List[str]) -> List[str]:
    """Return the words without the hosts, which keep their order among them; from behind, as options come first."""
    left, waiting = [], list(hosts)
    for word in reversed(words):
        if waiting and word == waiting[-1]:
            waiting.pop()
        else:
            left.append(word)
    return left[::-1]


@click.group("edgenext-remote", cls=_Group, epilog=examples(
    "edgenext-remote nano bench --variant xxs --fp16",
    "edgenext-remote jetson@192.168.1.20 setup",
    "edgenext-remote --tag lab doctor --json"))
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="The same as the argument HOST.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="All boards of boards.toml with this tag.")
@click.option("--boards", "fleet_file", type=INPUT, metavar="FILE",
              help="Fleet file.  [default: boards.toml here, or in ~/.config/edgenext-deploy]")
@click.option("--folder", metavar="DIR",
              help="Folder on the board.  [default: ~/.local/share/edgenext-deploy]")
@click.option("--python", metavar="NAME", help="Python on the board, 3.6 or newer.  [default: python3]")
@click.option("--wait/--no-wait", default=True, show_default=True,
              help="Wait while somebody else uses the board, or say who and fail.")
@common_options
@click.pass_context
def remote_command(context: click.Context, hosts: Tuple[str, ...], tags: Tuple[str, ...], fleet_file: Optional[str],
                   folder: Optional[str], python: Optional[str], wait: bool) -> None:
    """Set up boards over SSH, copy engines there, build, run and measure them.

    HOST is what ssh takes, [USER@]NAME, or the name of a board in boards.toml. The system's ssh connects, with your
    configuration, keys and known hosts. Several boards are worked on side by side; the exit code is the worst one's.
    $EDGENEXT_SSH is the ssh to start, such as "ssh -F FILE". docs/remote.md says what lies where on the board.
    """
    context.obj = Choice(hosts, tags, fleet_file, folder, python, wait)


for _command in _COMMANDS:
    remote_command.add_command(_command)
main = entry_point(remote_command)
if __name__ == "__main__":
    main()
