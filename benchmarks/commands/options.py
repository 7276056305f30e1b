"""What several commands of ``edgenext-bench`` share: engines as arguments, limits of a measurement, and the group."""
import functools
import os
from typing import Any, Callable, List, Optional, Sequence, Tuple

import click
from click.core import ParameterSource

from edgenext_deploy.commands.engine_argument import ENGINE, is_engine
from edgenext_deploy.errors import UsageError, suggestion
from edgenext_deploy.files import shown

Function = Callable[..., Any]


class _Shape(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.0
    """``NAME=1x3x224x224``: an input's name and shape; ``NAME=`` alone is a scalar."""

    name = "NAME=SIZES"

    def convert(self, value: Any, parameter: Optional[click.Parameter],
                context: Optional[click.Context]) -> Tuple[str, Tuple[int, ...]]:
        """Return the name and the shape."""
        if isinstance(value, tuple):
            return value
        name, equals, sizes = str(value).rpartition("=")
        words = sizes.lower().split("x") if sizes else []
        if not name or not equals or not all(word.isdigit() and len(word) < 20 and int(word) for word in words):
            raise UsageError("--shape {}: the name of an input and its sizes expected".format(shown(str(value))),
                             "such as --shape image=1x3x224x224")
        return name, tuple(map(int, words))


def shape_option(function: Function) -> Function:
    """Add ``--shape NAME=1x3x224x224``; the command gets ``shapes``, by name.

    Raises:
        UsageError: two shapes for one name.
    """
    @functools.wraps(function)
    def with_shapes(*arguments: Any, shapes: Sequence[Tuple[str, Tuple[int, ...]]], **options: Any) -> Any:
        names = [name for name, _ in shapes]
        for name in names:
            if names.count(name) > 1:
                raise UsageError("--shape gives {} twice".format(shown(name)), "give one shape for each input")
        return function(*arguments, shapes=dict(shapes), **options)

    return click.option("--shape", "shapes", multiple=True, type=_Shape(), metavar="NAME=1x3x224x224",
                        help="Shape of an input of an ONNX file without a manifest, where it leaves sizes open. Repeat "
                        "the option for several.")(with_shapes)


def engine_arguments(required: bool = True) -> Callable[[Function], Function]:
    """Add the arguments ``ENGINE...`` and their older spelling ``--engine``; the command gets ``engines``."""
    def decorated(function: Function) -> Function:
        @functools.wraps(function)
        def with_engines(*arguments: Any, engines: Tuple[str, ...], more_engines: Tuple[str, ...],
                         **options: Any) -> Any:
            found = (*more_engines, *engines)
            if required and not found:
                raise click.UsageError("Missing argument 'ENGINE...'.")
            return function(*arguments, engines=found, **options)

        option = click.option("--engine", "more_engines", multiple=True, metavar="FILE",
                              type=ENGINE, help="The same as the argument ENGINE.")
        return click.argument("engines", nargs=-1, type=ENGINE, metavar="ENGINE..." if required else "[ENGINE]")(
            option(with_engines))
    return decorated


def only_engine(engines: Sequence[str], command: str) -> str:
    """Return the one engine of a command that takes one.

    Raises:
        UsageError: there are several.
    """
    if len(engines) != 1:
        raise UsageError("{} takes one engine, {} given".format(command, len(engines)),
                         "edgenext-bench {} s.onnx".format(command))
    return engines[0]


class DefaultGroup(click.Group):
    """A group whose first command runs when the first word is not the name of a command.

    Args:
        default: that command; the group's help is its help, followed by the list of commands.
        arguments: see `click.Group`.
    """

    def __init__(self, name: str, default: click.Command, **arguments: Any) -> None:
        super().__init__(name, help=default.help, epilog=default.epilog, **arguments)
        self._default = default
        self.add_command(default)

    def parse_args(self, context: click.Context, args: List[str]) -> List[str]:
        """Put the default command's name before arguments that name no command."""
        first = next((word for word in args if word != "--debug"), None)
        if first in self.commands or first in ("--help", "--version"):
            rest: List[str] = super().parse_args(context, args)
            return rest
        if first is not None and first.isalnum() and not os.path.exists(first) and not is_engine(first):
            raise click.UsageError("No command and no engine file {!r}{}".format(
                first, suggestion(first, self.commands) or "."), context)
        rest = super().parse_args(context, [str(self._default.name), *args])
        return rest

    def format_usage(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both ways to call the group."""
        formatter.write_usage(context.command_path, " ".join(self._default.collect_usage_pieces(context)))
        formatter.write_usage(context.command_path, "COMMAND [ARGS]...", prefix="       ")

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the default command, and the commands."""
        self._default.format_options(context, formatter)
        self.format_commands(context, formatter)


def require_no_command(engines: Sequence[str], context: click.Context) -> None:
    """Raise UsageError if an engine is the name of a command: the command came after an option."""
    group = context.parent.command if context.parent is not None else None
    names = group.commands if isinstance(group, click.Group) else {}
    for engine in engines:
        if engine in names and not os.path.exists(engine):
            raise UsageError("{} does not go with the command {}".format(_first_given(context), engine),
                             "put the command first: edgenext-bench {} ...".format(engine))


def _first_given(context: click.Context) -> Optional[str]:
    for parameter in context.command.params:
        if isinstance(parameter, click.Option) and context.get_parameter_source(
                parameter.name or "") is ParameterSource.COMMANDLINE:
            return parameter.opts[0]
    return "another argument"
