"""Options that take a name out of a table; their help lists what the table holds at the moment of asking."""
from typing import Any, Callable, Iterable, Optional, Tuple

import click

from edgenext_deploy.targets import board_names, target_names

Function = Callable[..., Any]


class NameOption(click.Option):
    """An option whose help lists the names that it takes.

    Args:
        declarations: as of `click.Option`.
        names: returns the names.
        settings: as of `click.Option`; ``{names}`` in the help text is replaced.
    """

    def __init__(self, *declarations: Any, names: Callable[[], Iterable[str]], **settings: Any) -> None:
        super().__init__(*declarations, **settings)
        self._names = names

    def get_help_record(self, ctx: click.Context) -> Optional[Tuple[str, str]]:
        """Return option and help text, with the names filled in."""
        record = super().get_help_record(ctx)
        return None if record is None else (record[0], record[1].replace("{names}", ", ".join(self._names())))


def target_option(text: str, names: Callable[[], Iterable[str]] = target_names,
                  **settings: Any) -> Callable[[Function], Function]:
    """Add ``--target NAME``, a name in `targets.TARGETS`.

    Args:
        text: the help text; ``{names}`` stands for the names.
        names: returns the names to list.
        settings: as of `click.option`.
    """
    return click.option("--target", cls=NameOption, names=names, metavar="NAME", help=text, **settings)


def device_option(text: str, names: Callable[[], Iterable[str]] = board_names,
                  **settings: Any) -> Callable[[Function], Function]:
    """Add ``--device NAME``, a name in `targets.BOARDS`; see `target_option`."""
    return click.option("--device", cls=NameOption, names=names, metavar="NAME", help=text, **settings)
