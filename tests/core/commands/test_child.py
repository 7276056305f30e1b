"""Commands as child processes: found from anywhere, their errors passed on."""
import sys

import pytest

import edgenext_deploy
from edgenext_deploy.commands import child
from edgenext_deploy.errors import BadInputError, UsageError, VerificationError


def test_a_command_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert edgenext_deploy.__version__ in child.run_module("edgenext_deploy.run.cli", ["--version"])


def test_errors_keep_class_message_and_fix(tmp_path):
    missing = str(tmp_path / "missing.onnx")
    with pytest.raises(BadInputError, match=r"missing\.onnx") as caught:
        child.run_module("edgenext_deploy.run.cli", ["--engine", missing, "photo.jpg"])
    assert caught.value.fix
    with pytest.raises(UsageError, match="--nonsense"):
        child.run_module("edgenext_deploy.run.cli", ["--nonsense"])


@pytest.mark.parametrize("code, kind, words", [
    ("import time; time.sleep(60)", VerificationError, "more than 0.5 s"),
    ("import os; os.kill(os.getpid(), 9)", child.KilledError, "most likely because it was out of memory"),
    ("import os; os.abort()", RuntimeError, "ended with code -6"),
    ("import sys; sys.exit('trouble')", RuntimeError, "trouble"),
])
def test_other_endings(monkeypatch, code, kind, words):
    monkeypatch.setattr(child, "python_command", lambda module, arguments: [sys.executable, "-c", code])
    with pytest.raises(kind, match=words):
        child.run_module("edgenext_deploy.run.cli", [], timeout_s=0.5 if "sleep" in code else 30)
