"""The engine on a command line: ``xxs.onnx``, or ``xxs`` where ``xxs.onnx`` or ``xxs.plan`` lies there."""
import os
import shlex
from typing import Any, List, Optional, Tuple

import click

from edgenext_deploy.errors import UsageError
from edgenext_deploy.runtime.table import engine_endings, is_engine_name

_FIX = "edgenext-run xxs.onnx photo.jpg; edgenext-export icons makes an engine to try"


class EngineFile(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.0
    """The path of an engine; the ending may be left out where one engine alone has that name."""

    name = "FILE"

    def convert(self, value: Any, parameter: Optional[click.Parameter], context: Optional[click.Context]) -> str:
        """Return the path; raise UsageError if a name without an ending fits several engines."""
        return find_engine(os.path.expanduser(os.fspath(value)))


ENGINE = EngineFile()


def find_engine(name: str) -> str:
    """Return the engine that a name without an ending means, or else the name as it is.

    Raises:
        UsageError: there are several, such as ``xxs.onnx`` and ``xxs.plan``.
    """
    found = _without_ending(name)
    if len(found) > 1:
        raise UsageError("{} may be {}".format(name, " or ".join(found)), "name the one that is meant: " + found[0])
    return found[0] if found else name


def is_engine(name: str) -> bool:
    """Return whether a word is the name of an engine, with or without its ending."""
    return is_engine_name(name) or bool(_without_ending(name))


def split_engine(engine: Optional[str], words: Tuple[str, ...]) -> Tuple[str, Tuple[str, ...]]:
    """Return the engine and the rest of a command's words.

    Args:
        engine: of the option ``--engine``; then all words are the rest.
        words: the arguments. The engine comes first; where another one word alone is an engine's name, that one. Where
            none is, a folder of plans counts as one.

    Raises:
        UsageError: there is no engine, or nothing besides.
    """
    if engine is None:
        from edgenext_deploy.artifacts.plan_folder import plans_in

        names = [index for index, word in enumerate(words) if is_engine(word)] or [
            index for index, word in enumerate(words) if plans_in(word)]
        if not names or (len(names) > 1 and names[0] != 0):
            raise UsageError("{} engine among the arguments: {}".format(
                "no" if not names else "more than one", " ".join(words) or "none"), _FIX)
        engine, words = find_engine(words[names[0]]), words[:names[0]] + words[names[0] + 1:]
    if not words:
        raise UsageError("no photo and no stream given, only the engine {}".format(engine),
                         "edgenext-run {} PHOTO.jpg, or a source such as synthetic://".format(shlex.quote(engine)))
    return engine, words


def _without_ending(name: str) -> List[str]:
    if is_engine_name(name) or os.path.isfile(name) or not os.path.basename(name):
        return []
    return [name + ending for ending in engine_endings() if os.path.isfile(name + ending)]
