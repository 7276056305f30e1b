"""A file with the name of a module, where a command is run or next to an engine, never becomes code."""
import importlib.util
import os
import subprocess

import pytest
from every_command import COMMANDS, run_command_line
from sweeps import sweep

# Python imports it first: it notes the name of whatever a process asks for, found or not, of children too.
RECORDER = """
import os, sys

def note(names):
    handle = os.open(os.environ["EDGENEXT_TEST_NAMES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, "".join(name + chr(10) for name in names).encode())
    os.close(handle)

class Recorder:
    def find_spec(self, name, path=None, target=None):
        if path is None:
            note([name])

note(sorted({name.partition(".")[0] for name in sys.modules}))
sys.meta_path.insert(0, Recorder())
"""
PLANT = """
import os, sys
with open({!r}, "a") as stream:
    stream.write(__name__ + " by " + " ".join(sys.argv)[:200] + chr(10))
raise ImportError("planted " + __name__)
"""
LIBRARIES = ("torch", "onnx", "onnxsim", "onnxruntime", "tensorrt", "tensorrt_rtx", "pycuda", "cv2", "pycocotools")


@pytest.mark.parametrize("command", sweep(sorted(COMMANDS), always={"run", "build", "bench", "models"}))
def test_planted_modules_are_never_imported(command, here, tmp_path):
    recorder = tmp_path / "recorder"
    recorder.mkdir()
    (recorder / "sitecustomize.py").write_text(RECORDER)
    names_file, ran_file = tmp_path / "names", tmp_path / "ran"
    plain = run_command_line(command, here, PYTHONPATH=str(recorder), EDGENEXT_TEST_NAMES=str(names_file))
    assert "Traceback" not in plain[1]
    names = set(names_file.read_text().split()) - {"__main__", "sitecustomize", "edgenext_deploy"}
    assert {"json", "typing", "click", "os"} <= names
    for name in {*names, *LIBRARIES, "sitecustomize", "usercustomize"}:
        for folder in (here, here / "engine"):
            (folder / (name + ".py")).write_text(PLANT.format(str(ran_file)))
    code, errors = run_command_line(command, here)
    assert not ran_file.exists(), ran_file.read_text()
    assert code == plain[0], errors


@pytest.mark.parametrize("folder", ["current", "script"])
def test_a_child_leaves_out_the_current_folder_and_that_of_its_script(tmp_path, folder):
    """Run by path or by name, also where a module of the standard library has not been imported yet."""
    from edgenext_deploy.child_process import python_command

    current, scripts = tmp_path / "current", tmp_path / "scripts"
    current.mkdir()
    scripts.mkdir()
    (scripts / "child.py").write_text("import sys, this_is_planted")
    planted = current if folder == "current" else scripts
    (planted / "this_is_planted.py").write_text("")
    done = subprocess.run(python_command(str(scripts / "child.py")), cwd=str(current), stderr=subprocess.PIPE)
    assert b"No module named 'this_is_planted'" in done.stderr


def test_a_child_keeps_what_pythonpath_adds(tmp_path):
    from edgenext_deploy.child_process import python_command

    (tmp_path / "from_pythonpath.py").write_text("")
    (tmp_path / "child.py").write_text(
        "import sys, from_pythonpath, edgenext_deploy\nprint(sys.argv[1:], edgenext_deploy.__file__)")
    command = python_command(str(tmp_path / "child.py"), ["a b", "--c"])
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=os.sep, universal_newlines=True,
                          env=dict(os.environ, PYTHONPATH=str(tmp_path)))
    found = importlib.util.find_spec("edgenext_deploy").origin
    assert done.stdout.split("] ") == ["['a b', '--c'", found + "\n"]
