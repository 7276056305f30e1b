"""Calls in the form of earlier versions: they work for one more release and say how to write them now."""
import functools
import inspect
import warnings
from typing import Any, Callable, Dict, Optional, Sequence, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Keywords = Dict[str, Any]
_LONGEST_VALUE = 60


def old_call(*positional: str, renamed: Optional[Dict[str, str]] = None,
             adapt: Optional[Callable[[_Keywords], _Keywords]] = None) -> Callable[[_Function], _Function]:
    """Let a function with keyword-only arguments also be called as before, with a DeprecationWarning.

    Args:
        positional: the keyword-only arguments that used to be positional, in the old order; they follow those that
            are positional still.
        renamed: old name of a keyword to its new name.
        adapt: turns keywords, old ones among them, into those that the function takes; for old forms that `renamed`
            cannot say. It returns an equal dictionary if none is old.

    Returns:
        A decorator. Its function raises TypeError for an argument that is given twice.
    """
    names = renamed or {}

    def decorate(function: _Function) -> _Function:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(function).parameters.values()
        count = sum(parameter.kind in kinds for parameter in parameters)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            surplus = args[count:]
            if len(surplus) > len(positional):
                return function(*args, **kwargs)  # raises Python's own TypeError
            given = {name: value for name, value in kwargs.items() if name not in names}
            for name, value in [*zip(positional, surplus),
                                *((names[name], value) for name, value in kwargs.items() if name in names)]:
                if name in given:
                    raise TypeError("{}() got two values for {!r}".format(function.__name__, name))
                given[name] = value
            today = given if adapt is None else adapt(given)
            if surplus or today.keys() != kwargs.keys():
                warn_old_call(_new_call(function, args[:count], today))
            return function(*args[:count], **today)

        return cast(_Function, call)

    return decorate


def warn_old_call(new: str) -> None:
    """Warn that a call has an old form; to be called by the function that was called so.

    Args:
        new: the call that replaces it.
    """
    warnings.warn("this form of the call goes away in the next release; write " + new, DeprecationWarning, stacklevel=3)


def _new_call(function: Callable[..., Any], args: Sequence[Any], kwargs: _Keywords) -> str:
    name, values = function.__name__, list(args)
    if name == "__init__":  # written as a call of the class
        name = type(values.pop(0)).__name__
    shown = [_shown(value) for value in values]
    shown += ["{}={}".format(argument, _shown(value)) for argument, value in kwargs.items()]
    return "{}({})".format(name, ", ".join(shown))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE and "\n" not in text else "..."
