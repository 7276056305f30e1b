"""The verdict for ``rtx-1.7`` against TensorRT-RTX's own parser, over a folder of models.

    python tests/real/parser_matrix.py FOLDER [--build 86]

prints every model on which the two disagree, and how many there were.
"""
import argparse
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, NamedTuple

import onnx

from edgenext_deploy.export.verdict import judge

CHILD = Path(__file__).with_name("parser_child.py")
RELEASE = "rtx-1.7"
# The verdict's words for what the parser takes and the builder refuses.
OF_BUILDER = "which the builder refuses"


class Matrix(NamedTuple):
    """Models by name, with what the other side says against the verdict."""

    asked: int
    accepted: int
    wrong_yes: Dict[str, str]
    wrong_no: Dict[str, str]


def ask_parser(models, sm=None, timeout_s=600):
    """Return an answer for each of the models, given as bytes: parsed, op, reason, and built where an SM is given."""
    with tempfile.TemporaryDirectory() as folder:
        packed, answers = Path(folder, "packed"), Path(folder, "answers")
        with packed.open("wb") as stream:
            for model in models:
                stream.write(struct.pack("<Q", len(model)) + model)
        answers.touch()
        found = {}
        first = 0
        while first < len(models):
            try:
                done = subprocess.run(
                    [sys.executable, str(CHILD), str(packed), str(answers), str(first), *([sm] if sm else [])],
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=timeout_s)
                ending = done.returncode
            except subprocess.TimeoutExpired:
                ending = "timeout"
            found = {answer["number"]: answer for answer in map(json.loads, answers.read_text().splitlines())}
            if ending == 0:
                break
            # It crashed at the first without an answer.
            first = max(found, default=first - 1) + 1
            with answers.open("a") as stream:
                crash = {"number": first, "parsed": False, "op": "", "reason": "crash ({})".format(ending)}
                stream.write(json.dumps(crash) + "\n")
            found[first] = crash
            first += 1
        return [found[number] for number in range(len(models))]


def compare(models, sm=None):
    """Compare the verdict with the parser; where an SM is given, a builder's "no" is asked of the builder."""
    answers = dict(zip(models, ask_parser(list(models.values()))))
    verdicts = {name: judge.judge(onnx.load_model_from_string(content), RELEASE) for name, content in models.items()}
    yes = {name for name, verdict in verdicts.items() if verdict.supported}
    reasons = {name: [finding.reason for finding in verdict.findings if finding.severity == "error"]
               for name, verdict in verdicts.items()}
    doubted = [name for name in models if answers[name]["parsed"] and name not in yes]
    builders = [name for name in doubted if all(OF_BUILDER in reason for reason in reasons[name])]
    built = ask_parser([models[name] for name in builders], sm) if sm else [{"built": False}] * len(builders)
    refused = {name for name, answer in zip(builders, built) if not answer.get("built")}
    return Matrix(
        len(models), sum(answer["parsed"] for answer in answers.values()),
        {name: answers[name]["reason"] for name in models if name in yes and not answers[name]["parsed"]},
        {name: reasons[name][0] for name in doubted if name not in refused})


def compare_builder(models, sm):
    """Return wrong yeses and noes of the verdict against the builder, by name, and of how many models.

    Left out is what the parser refuses, and what has inputs whose values decide shapes: nobody says them.
    """
    answers = dict(zip(models, ask_parser(list(models.values()), sm)))
    answers = {name: answer for name, answer in answers.items() if answer.get("built") is not None}
    supported = {name: judge.judge(onnx.load_model_from_string(models[name]), RELEASE).supported for name in answers}
    return ({name: answer["reason"] for name, answer in answers.items() if supported[name] and not answer["built"]},
            {name: answer.get("op", "") for name, answer in answers.items() if not supported[name] and answer["built"]},
            len(answers))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build", metavar="SM", help="ask the builder too")
    arguments = parser.parse_args()
    models = {str(path): path.read_bytes() for path in sorted(arguments.folder.rglob("*.onnx"))}
    if arguments.build:
        wrong_yes, wrong_no, asked = compare_builder(models, arguments.build)
        for word, wrong in (("yes", wrong_yes), ("no", wrong_no)):
            for name, reason in wrong.items():
                sys.stdout.write("wrong {} against the builder: {}: {}\n".format(word, name, reason))
        sys.stdout.write("{} models asked of the builder; wrong yes {}, wrong no {}\n".format(
            asked, len(wrong_yes), len(wrong_no)))
    found = compare(models, arguments.build)
    for name, reason in found.wrong_yes.items():
        sys.stdout.write("wrong yes: {}: {}\n".format(name, reason))
    for name, reason in found.wrong_no.items():
        sys.stdout.write("wrong no: {}: {}\n".format(name, reason))
    sys.stdout.write("{} models, the parser takes {}; wrong yes {}, wrong no {}\n".format(
        found.asked, found.accepted, len(found.wrong_yes), len(found.wrong_no)))


if __name__ == "__main__":
    main()
