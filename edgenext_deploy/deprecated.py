"""Calls in the form of earlier versions: they work for one more release and say how to write them now."""
import functools
import inspect
import warnings
from typing import Any, Callable, Dict, Optional, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., Any])
_LONGEST_VALUE = 40


def old_call(*positional: str, renamed: Optional[Dict[str, str]] = None) -> Callable[[_Function], _Function]:
    """Let a function with keyword-only arguments also be called as before, with a DeprecationWarning.

    Args:
        positional: the keyword-only arguments that used to be positional, in the old order; they follow those that
            are positional still.
        renamed: old name of a keyword to its new name.

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
            old = [name for name in kwargs if name in names]
            if (not surplus and not old) or len(surplus) > len(positional):
                return function(*args, **kwargs)
            given = [*zip(positional, surplus), *((names[name], kwargs.pop(name)) for name in old)]
            for name, value in given:
                if name in kwargs:
                    raise TypeError("{}() got two values for {!r}".format(function.__name__, name))
                kwargs[name] = value
            shown = [_shown(value) for value in args[:count]]
            shown += ["{}={}".format(name, _shown(value)) for name, value in kwargs.items()]
            warnings.warn("this form of the call goes away in the next release; write {}({})".format(
                function.__name__, ", ".join(shown)), DeprecationWarning, stacklevel=2)
            return function(*args[:count], **kwargs)

        return cast(_Function, call)

    return decorate


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE and "\n" not in text else "..."
