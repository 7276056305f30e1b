"""How long it takes from a new process to the first answer: this toolkit against the libraries below it.

    python tests/start_up.py xxs.onnx photo.jpg [ROUNDS]

Every round starts three processes, in turns: one that imports numpy, Pillow and ONNX Runtime, opens the bare session,
reads the photo and runs it once; one with `Classifier`; and `edgenext-run`. All take as many threads as
EDGENEXT_THREADS says, by default one for each processor, and compiled modules are kept, as after an installation.
"""
import os
import subprocess
import sys
import time

import numpy as np

BARE = """
import os, sys
import numpy as np
from PIL import Image
import onnxruntime
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = int(sys.argv[3])
session = onnxruntime.InferenceSession(sys.argv[1], settings, providers=["CPUExecutionProvider"])
taken = session.get_inputs()[0]
side = taken.shape[2]
image = Image.open(sys.argv[2]).convert("RGB")
scale = side / 0.875 / min(image.size)
image = image.resize([round(edge * scale) for edge in image.size], Image.BICUBIC)
left, top = (image.width - side) // 2, (image.height - side) // 2
pixels = np.asarray(image.crop((left, top, left + side, top + side)), np.float32).transpose(2, 0, 1)[np.newaxis]
mean, std = np.float32([0.485, 0.456, 0.406]).reshape(3, 1, 1), np.float32([0.229, 0.224, 0.225]).reshape(3, 1, 1)
logits = session.run(None, {taken.name: np.ascontiguousarray((pixels / 255 - mean) / std)})[0]
print(logits[0].argsort()[::-1][:5])
"""
OURS = """
import sys
from edgenext_deploy import Classifier, RuntimeOptions
with Classifier(sys.argv[1], runtime=RuntimeOptions(threads=int(sys.argv[3]))) as classify:
    print(classify(sys.argv[2]))
"""
COMMAND = """
import sys
sys.argv = ["edgenext-run", sys.argv[1], sys.argv[2], "--threads", sys.argv[3]]
from edgenext_deploy.commands.console import run
run()
"""
WAYS = {"libraries alone": BARE, "Classifier": OURS, "edgenext-run": COMMAND}


def measure(engine, photo, rounds, ways=None):
    """Return for each way the wall and processor seconds of each round, `[rounds, 2]`, after a round that warms up."""
    ways = WAYS if ways is None else ways
    threads = os.environ.get("EDGENEXT_THREADS") or str(len(os.sched_getaffinity(0)))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["ORT_DISABLE_TELEMETRY"] = "1"
    found = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in list(ways)[::(-1) ** number]:
            start = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-c", ways[name], engine, photo, threads],
                                       stdout=subprocess.DEVNULL, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            assert status == 0, name
            if number:
                found[name].append((time.perf_counter() - start, usage.ru_utime + usage.ru_stime))
    return {name: np.array(values) for name, values in found.items()}


def main():
    engine, photo = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    found = measure(engine, photo, rounds)
    sys.stdout.write("{} rounds; median seconds, and the median of the rounds' ratios and differences\n".format(rounds))
    for index, what in enumerate(("on the clock", "of the processor")):
        bare = found["libraries alone"][:, index]
        for name, values in found.items():
            sys.stdout.write("{:>16} {:>16}: {:.3f} s, {:.2f} times the libraries, {:+.3f} s to Classifier\n".format(
                what, name, np.median(values[:, index]), np.median(values[:, index] / bare),
                np.median(values[:, index] - found["Classifier"][:, index])))


if __name__ == "__main__":
    main()
