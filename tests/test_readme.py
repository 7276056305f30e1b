"""The README's commands exist, with their options; its links lead somewhere; its figures are what is written today."""
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = {
    "edgenext-models": "edgenext_deploy.models.cli",
    "edgenext-export": "edgenext_deploy.export.cli",
    "edgenext-run": "edgenext_deploy.cli",
    "edgenext-bench": "edgenext_deploy.benchmarks.cli",
    "edgenext-build": "edgenext_deploy.engines.cli",
    "edgenext-doctor": "edgenext_deploy.doctor.cli",
    "edgenext-eval": "edgenext_deploy.benchmarks.accuracy.cli",
}
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])


def commands():
    found = set()
    for path in DOCUMENTS:
        for block in re.findall(r"```[a-z]*\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.S):
            for line in block.splitlines():
                for part in re.split(r"&&|\|", line.split("#")[0]):
                    words = part.strip()
                    if words.startswith("edgenext-") and "[" not in words:
                        found.add(words)
    return sorted(found)


def help_text(arguments):
    result = subprocess.run([sys.executable, "-m", *arguments, "--help"], capture_output=True, text=True, cwd=str(ROOT))
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_there_are_commands():
    assert len(commands()) >= 6


@pytest.mark.parametrize("line", commands())
def test_commands_and_their_options_exist(line):
    name, *arguments = shlex.split(line)
    shown = help_text([MODULES[name]])
    subcommands = re.findall(r"^  (\w+)  ", shown.split("Commands:")[1], flags=re.M) if "Commands:" in shown else []
    if arguments and arguments[0] in subcommands:
        shown = help_text([MODULES[name], arguments[0]])
    for option in (word.split("=")[0] for word in arguments if word.startswith("--")):
        assert re.search(r"{}\b".format(re.escape(option)), shown), "{} has no {}".format(name, option)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_scripts_and_modules_agree():
    import configparser

    settings = configparser.ConfigParser()
    settings.read(str(ROOT / "setup.cfg"))
    lines = settings["options.entry_points"]["console_scripts"].strip().splitlines()
    scripts = dict(line.split(" = ") for line in lines)
    assert {name: target.split(":")[0] for name, target in scripts.items()} == {
        name: module for name, module in MODULES.items() if name in scripts}
    assert set(scripts) >= {"edgenext-models", "edgenext-export", "edgenext-run", "edgenext-bench"}
