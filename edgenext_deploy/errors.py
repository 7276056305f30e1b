"""The one family of errors, each with a stable exit code.

A message says what happened, what was found and what was expected, and the command that fixes it.

======  ==================================================  ======================
 code    meaning                                             class
======  ==================================================  ======================
 0       success
 1       a bug in this toolkit (please report it)            any other exception
 2       usage: an option's value, a folder that cannot be
         written, a disk that is full                        ``UsageError``
 3       an input file that is bad or does not fit           ``BadInputError``
 4       target or plan cannot run this                      ``IncompatibleError``
 5       a result was computed and is wrong                  ``VerificationError``
 6       something is not installed, no GPU, no network      ``MissingRuntimeError``
 130    Ctrl-C; 143 is SIGTERM                             -
======  ==================================================  ======================
"""
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Type, Union

# What repairs an error, or a function that finds it out when somebody wants to know.
Fix = Union[None, str, Callable[[], str]]


class EdgeNextError(Exception):
    """Base of all errors this toolkit raises on purpose.

    Args:
        message: what happened, with what was found and what was expected, in one sentence.
        fix: the command or action that repairs it, printed after the message; or a function that returns it.
    """

    exit_code = 1

    def __init__(self, message: str, fix: Fix = None) -> None:
        super().__init__(message)
        self.message, self._fix = message, fix

    @property
    def fix(self) -> Optional[str]:
        """The command or action that repairs it; None if none is known."""
        if callable(self._fix):
            self._fix = self._fix()
        return self._fix

    @fix.setter
    def fix(self, fix: Fix) -> None:
        self._fix = fix

    def __reduce__(self) -> Any:
        self._fix = self.fix  # most functions cannot be sent to another process
        return super().__reduce__()

    def __str__(self) -> str:
        return self.message if self.fix is None else "{}; {}".format(self.message, self.fix)


class UsageError(EdgeNextError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class BadInputError(EdgeNextError):
    """An input file is missing, broken, or is not what it should be."""

    exit_code = 3


class IncompatibleError(EdgeNextError):
    """The target, engine or plan cannot run this."""

    exit_code = 4


class VerificationError(EdgeNextError):
    """A result was computed, compared, and found wrong."""

    exit_code = 5


class MissingRuntimeError(EdgeNextError):
    """A library, driver, device or network that the command needs is not there."""

    exit_code = 6


BY_EXIT_CODE: Dict[int, Type[EdgeNextError]] = {kind.exit_code: kind for kind in (
    UsageError, BadInputError, IncompatibleError, VerificationError, MissingRuntimeError)}


# difflib's ratio of "nanno" and "nano" is 0.89, of "xss" and "xs" 0.8, of "jetson" and "thor" 0.4.
_CLOSE = 0.7
_MOST_LISTED = 10


def suggestion(name: str, choices: Iterable[str], also: Optional[Mapping[str, str]] = None) -> str:
    """Return the end of a message about an unknown name, ``; did you mean 'nano'?``; empty if none is near.

    Args:
        name: as given.
        choices: the names that are known.
        also: other spellings that people use, each with the known name that it means.
    """
    import difflib

    spellings = {**(also or {}), **{choice: choice for choice in choices}}
    near = difflib.get_close_matches(name.lower(), spellings, n=1, cutoff=_CLOSE)
    return "; did you mean {!r}?".format(spellings[near[0]]) if near else ""


def unknown_name(kind: str, name: str, choices: Iterable[str],
                 also: Optional[Mapping[str, str]] = None, listing: str = "") -> UsageError:
    """Return the error for a name that is not in a table; its message suggests the nearest name.

    Args:
        kind: what the name stands for, such as ``target``.
        name: as given.
        choices: the names in the table, listed in the fix.
        also: see `suggestion`.
        listing: a command that lists them; with it, the fix names ten at most.
    """
    names = list(choices)
    listed = names[:_MOST_LISTED] if listing else names
    return UsageError("unknown {} {!r}{}".format(kind, name, suggestion(name, names, also)),
                      "choose one of: {}{}".format(
                          ", ".join(listed), "; {} lists all {}".format(listing, len(names)) if listing else ""))
