"""An evaluation on a real Ray cluster of two nodes: rows byte for byte those of one process, also when workers die.

EDGENEXT_RAY names a Python that has ray, onnxruntime, numpy, Pillow, click and rich.
"""
import os
import subprocess

import numpy as np
import pytest
from paths import ROOT, TINY
from PIL import Image

PYTHON = os.environ.get("EDGENEXT_RAY")
pytestmark = [pytest.mark.real, pytest.mark.skipif(
    not PYTHON, reason="EDGENEXT_RAY names no Python with ray and onnxruntime")]
PROGRAM = '''
import os, signal, sys, time
import ray
from ray.cluster_utils import Cluster
from edgenext_deploy.benchmarks.accuracy import on_ray
from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate
from edgenext_deploy.runtime.options import RuntimeOptions

engine, data = sys.argv[1:]
on_ray._PART = 4
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)
runtime = RuntimeOptions(threads=1)


class Dying(on_ray.Node):
    """Its process is killed at the first part of all, as by the kernel where memory runs out."""

    def rows(self, items):
        try:
            os.close(os.open("died", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return super().rows(items)
        os.kill(os.getpid(), signal.SIGKILL)


class Slow(on_ray.Node):
    def rows(self, items):
        time.sleep(0.3)
        return super().rows(items)


def rows(name, **options):
    seen = []
    def progress(number, count, key):
        seen.append(key)
        if options.get("at") == len(seen):
            options["do"]()
    evaluation = evaluate(engine, data=data, resume=name, runtime=runtime, progress=progress, ray=options.get("ray"))
    return open(name, "rb").read(), evaluation


alone, evaluation = rows("alone.jsonl")
assert evaluation.used == 39 and len(evaluation.unreadable) == 1
assert rows("ray.jsonl", ray="auto")[0] == alone
print("equal", flush=True)
own, on_ray.Node = on_ray.Node, Dying
found, evaluation = rows("killed.jsonl", ray="auto")
assert found == alone and evaluation.repeated >= 1, evaluation.repeated
print("worker", evaluation.repeated, flush=True)
on_ray.Node = Slow
found, evaluation = rows("node.jsonl", ray="auto", at=3, do=lambda: cluster.remove_node(second, allow_graceful=False))
assert found == alone and evaluation.repeated >= 1, evaluation.repeated
on_ray.Node = own
print("node", evaluation.repeated, flush=True)
with open("half.jsonl", "wb") as half:
    half.write(b"".join(alone.splitlines(True)[:15]))
found, evaluation = rows("half.jsonl", ray="auto")
assert found == alone and evaluation.resumed == 14
print("resumed", flush=True)
ray.shutdown()
cluster.shutdown()
'''


def test_two_nodes_a_killed_worker_a_killed_node_and_a_half_finished_file(tmp_path):
    for index in range(39):
        color = [(255, 0, 0), (0, 0, 255), (0, 255, 0)][index % 3]
        folder = tmp_path / "data" / ["red", "blue", "green"][index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.RandomState(index).randint(0, 60, (40 + index, 50, 3)).astype(np.int16)
        Image.fromarray(np.clip(noise + color, 0, 255).astype(np.uint8)).save(str(folder / "{:02d}.png".format(index)))
    (tmp_path / "data" / "red" / "bad.png").write_bytes(b"no photo")
    done = subprocess.run([PYTHON, "-c", PROGRAM, TINY, "data"], cwd=str(tmp_path), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=240,
                          env=dict(os.environ, PYTHONPATH=ROOT, RAY_DEDUP_LOGS="0"))
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    # Ray writes lines of its own there.
    steps = [line.split(" ")[0] for line in done.stdout.splitlines()]
    assert [step for step in steps if step in ("equal", "worker", "node", "resumed")] == [
        "equal", "worker", "node", "resumed"]
