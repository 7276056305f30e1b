"""edgenext-eval and edgenext-run on a real Ray cluster of two nodes: rows byte for byte those of one process, also when
workers and nodes die.

EDGENEXT_RAY names a Python that has ray, onnxruntime, numpy, Pillow, click and rich; `make test-ray` makes one.
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
CLUSTER = '''
import os, signal, sys, time
import ray
from ray.cluster_utils import Cluster
from edgenext_deploy.cluster import on_ray

engine, data = sys.argv[1:]
on_ray.PART = 4
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False)


def dying(kind):
    "Its process is killed at the first part of all, as by the kernel where memory runs out."
    class Dying(kind):
        def results(self, items):
            try:
                os.close(os.open("died", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return super().results(items)
            os.kill(os.getpid(), signal.SIGKILL)
    return Dying


def slow(kind):
    class Slow(kind):
        def results(self, items):
            time.sleep(0.3)
            return super().results(items)
    return Slow
'''
EVALUATION = CLUSTER + '''
from edgenext_deploy.benchmarks.accuracy import on_ray as evaluation_on_ray
from edgenext_deploy.benchmarks.accuracy.evaluate import evaluate
from edgenext_deploy.runtime.options import RuntimeOptions


def rows(name, **options):
    seen = []
    def progress(number, count, key):
        seen.append(key)
        if options.get("at") == len(seen):
            options["do"]()
    evaluation = evaluate(engine, data=data, resume=name, runtime=RuntimeOptions(threads=1), progress=progress,
                          ray=options.get("ray"))
    return open(name, "rb").read(), evaluation


alone, evaluation = rows("alone.jsonl")
assert evaluation.used == 39 and len(evaluation.unreadable) == 1
assert rows("ray.jsonl", ray="auto")[0] == alone
print("equal", flush=True)
own = evaluation_on_ray.RowWorker
evaluation_on_ray.RowWorker = dying(own)
found, evaluation = rows("killed.jsonl", ray="auto")
assert found == alone and evaluation.repeated >= 1, evaluation.repeated
print("worker", evaluation.repeated, flush=True)
evaluation_on_ray.RowWorker = slow(own)
found, evaluation = rows("node.jsonl", ray="auto", at=3, do=lambda: cluster.remove_node(second, allow_graceful=False))
assert found == alone and evaluation.repeated >= 1, evaluation.repeated
evaluation_on_ray.RowWorker = own
print("node", evaluation.repeated, flush=True)
with open("half.jsonl", "wb") as half:
    half.write(b"".join(alone.splitlines(True)[:15]))
found, evaluation = rows("half.jsonl", ray="auto")
assert found == alone and evaluation.resumed == 14
print("resumed", flush=True)
ray.shutdown()
cluster.shutdown()
'''
PHOTOS = CLUSTER + '''
import contextlib, io, json
from edgenext_deploy.run import cli, on_ray as run_on_ray, photos


def run(name, *options):
    "Return exit code, rows, JSON document and standard error of edgenext-run."
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        code = cli.command.main([engine, *data.split(":"), "--threads", "1", "--resume", name, "--json-file",
                                 name + ".json", *options], standalone_mode=False)
    return code, open(name, "rb").read(), json.load(open(name + ".json")), error.getvalue()


code, alone, document, said = run("alone.jsonl")
assert code == 3 and len(document["images"]) == 40, code
def same(found):
    assert found[0] == 3 and found[1] == alone and found[2]["images"] == document["images"], found[3]
    assert "bad.png is not an image that can be read" in found[3]
    return found[2]["ray"]["parts_repeated"]
assert same(run("ray.jsonl", "--ray", "auto")) == 0
print("equal", flush=True)
own = run_on_ray.PhotoWorker
run_on_ray.PhotoWorker = dying(own)
repeated = same(run("killed.jsonl", "--ray", "auto"))
assert repeated >= 1
print("worker", repeated, flush=True)
run_on_ray.PhotoWorker = slow(own)
add = photos.PhotoResults.add
def add_and_kill(results, row):
    add(results, row)
    if results._count == 3:
        cluster.remove_node(second, allow_graceful=False)
photos.PhotoResults.add = add_and_kill
repeated = same(run("node.jsonl", "--ray", "auto"))
assert repeated >= 1
photos.PhotoResults.add = add
run_on_ray.PhotoWorker = own
print("node", repeated, flush=True)
for name, options in (("half.jsonl", ["--ray", "auto"]), ("other.jsonl", [])):
    with open(name, "wb") as half:
        half.write(b"".join(alone.splitlines(True)[:15]))
    code, found, _, said = run(name, *options)
    assert code == 3 and found == alone and "14 of 40 photos were answered before" in said, said
print("resumed", flush=True)
ray.shutdown()
cluster.shutdown()
'''
GPUS = CLUSTER + '''
import collections
cluster.add_node(num_cpus=1, num_gpus=2)


class Seeing:
    "What a worker on a node sees of its GPUs."
    def __init__(self):
        self.description = os.environ.get("CUDA_VISIBLE_DEVICES")
    def results(self, items):
        time.sleep(0.05)
        return [self.description for _ in items]


workers = on_ray.RayWorkers("auto", Seeing, [], on_gpus=True)
found = collections.Counter(workers.results(list(range(80))))
assert sorted(found) == ["0", "1"] and sum(found.values()) == 80, found
print("gpus", flush=True)
workers = None
notes = []
plain = on_ray.RayWorkers("auto", Seeing, [], note=notes.append)
assert len(list(plain.results(list(range(80))))) == 80 and not notes
print("processors", flush=True)
ray.shutdown()
cluster.shutdown()
'''
STEPS = ("equal", "worker", "node", "resumed", "gpus", "processors")


def steps(program, tmp_path, data):
    """Return the steps that a program came through on a cluster of its own."""
    done = subprocess.run([PYTHON, "-c", program, TINY, data], cwd=str(tmp_path), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=240,
                          env=dict(os.environ, PYTHONPATH=ROOT, RAY_DEDUP_LOGS="0"))
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    # Ray writes lines of its own there.
    return [word for line in done.stdout.splitlines() for word in line.split(" ")[:1] if word in STEPS]


@pytest.fixture
def photos(tmp_path):
    """A folder for each of three classes; one photo is none."""
    for index in range(39):
        color = [(255, 0, 0), (0, 0, 255), (0, 255, 0)][index % 3]
        folder = tmp_path / "data" / ["red", "blue", "green"][index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.RandomState(index).randint(0, 60, (40 + index, 50, 3)).astype(np.int16)
        Image.fromarray(np.clip(noise + color, 0, 255).astype(np.uint8)).save(str(folder / "{:02d}.png".format(index)))
    (tmp_path / "data" / "red" / "bad.png").write_bytes(b"no photo")
    return tmp_path


def test_an_evaluation_loses_nothing(photos):
    assert steps(EVALUATION, photos, "data") == ["equal", "worker", "node", "resumed"]


def test_a_run_on_photos_loses_nothing(photos):
    data = ":".join(os.path.join("data", name) for name in ("red", "blue", "green"))
    assert steps(PHOTOS, photos, data) == ["equal", "worker", "node", "resumed"]


def test_each_gpu_has_a_worker_of_its_own(tmp_path):
    """Ray counts GPUs that it was told of; none is there."""
    assert steps(GPUS, tmp_path, "") == ["gpus", "processors"]
