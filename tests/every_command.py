"""One short run of every command, as its console script runs it, in a folder of its own."""
import os
import shutil
import subprocess
import sys

from paths import CAT, ROOT, TINY

ENGINE = ["--engine", os.path.join("engine", "tiny.onnx")]
COMMANDS = {
    "run": ("edgenext_deploy.run.cli", [*ENGINE, CAT]),
    "doctor": ("edgenext_deploy.doctor.cli", []),
    "test": ("edgenext_deploy.engines.cli", ["test", ENGINE[1]]),
    "build": ("edgenext_deploy.engines.cli", [ENGINE[1], "--target", "rtx", "--force"]),
    "bench": ("edgenext_deploy.benchmarks.commands.cli", [*ENGINE, "--duration", "0.05", "--warmup", "0"]),
    "profile": ("edgenext_deploy.benchmarks.commands.cli", ["profile", *ENGINE, "--threads", "1"]),
    "estimate": ("edgenext_deploy.benchmarks.commands.cli", ["estimate", "--variant", "xxs", "--device", "nano"]),
    "eval": ("edgenext_deploy.benchmarks.accuracy.cli", [*ENGINE, "--data", "photos"]),
    "models": ("edgenext_deploy.models.cli", []),
    "export": ("edgenext_deploy.export.commands.cli", ["--variant", "xxs", "--image-size", "64x64",
                                                       "--output", "made"]),
}


def prepare(here):
    """Fill a folder to run the commands in: an engine in a folder, photos in another; return it."""
    engine = here / "engine"
    engine.mkdir(parents=True)
    for ending in (".onnx", ".json"):
        shutil.copy(TINY.replace(".onnx", ending), str(engine / ("tiny" + ending)))
    for number in range(3):
        (here / "photos" / str(number)).mkdir(parents=True)
        shutil.copy(CAT, str(here / "photos" / str(number)))
    return here


def run_command_line(command, here, *, before=(), preexec=None, **extra):
    """Run one command as its console script does: by the path of a script that lies elsewhere.

    Args:
        command: a key of `COMMANDS`.
        here: the current folder, from `prepare`.
        before: words in front of the command line.
        preexec: is called in the new process before the command starts.
        extra: environment variables.

    Returns:
        exit code and standard error.
    """
    module, arguments = COMMANDS[command]
    script = here.parent / "script"
    script.mkdir(exist_ok=True)
    (script / "command.py").write_text("from {} import main\nmain()\n".format(module))
    environ = {**os.environ, "EDGENEXT_CACHE": str(here.parent / "cache"), **extra}
    environ["PYTHONPATH"] = os.pathsep.join([*filter(None, [extra.get("PYTHONPATH")]), ROOT])
    done = subprocess.run([*before, sys.executable, str(script / "command.py"), *arguments], cwd=str(here), env=environ,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                          preexec_fn=preexec)
    return done.returncode, done.stderr.decode("utf-8", "replace")
