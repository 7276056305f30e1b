"""The commands that README, docs and the help of every command show."""
import re
from pathlib import Path

import click
import paths
from command_lines import every_command

ROOT = Path(paths.ROOT)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

# What may stand in front of a command in a shell.
PREFIX = re.compile(r"^(?:\$ |sudo (?:-E )?|[A-Z_]+=\S+ )*")


def lines_in_blocks(text):
    """Return the commands in the blocks of a page, whole lines."""
    found = set()
    for block in re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\||>|;", line.split("#")[0]):
                words = PREFIX.sub("", part.strip()).replace("[", "").replace("]", "")
                if words.startswith("edgenext-"):
                    found.add(words)
    return found


def commands():
    return sorted(set().union(*(lines_in_blocks(path.read_text(encoding="utf-8")) for path in DOCUMENTS)))


def examples_of(words, command):
    """Return the lines under the last heading of a command's help, which must be that of the examples."""
    text = command.get_help(click.Context(command, info_name=words))
    return [line.strip() for line in re.split(r"^ *Examples:\n", text, flags=re.M)[-1].strip().splitlines()]


def help_examples():
    """Return every example of every help text."""
    return sorted({line for words, command in every_command().items() for line in examples_of(words, command)})
