"""Data files the toolkit ships, and the functions that read them. Sources are in SOURCES.md."""
import json
import os
from typing import Any, Dict

_FOLDER = os.path.dirname(os.path.abspath(__file__))


def path_of(*parts: str) -> str:
    """Return the path of a shipped data file."""
    return os.path.join(_FOLDER, *parts)


def read_json(name: str) -> Dict[str, Any]:
    """Return a shipped JSON file as a dictionary."""
    with open(path_of(name), encoding="utf-8") as stream:
        content: Dict[str, Any] = json.load(stream)
    return content
