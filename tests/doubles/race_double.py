"""TensorRT for a race, in child processes: the double that builds and the double that runs, with planted behaviour.

`equip` writes a module ``tensorrt`` for a folder on PYTHONPATH. Which double it is depends on the process.
"""
import hashlib
import importlib.machinery
import json
import os
import random
import signal
import sys
import time

from paths import TESTS, TINY

RELEASE, CAPABILITY, GPU = "8.2", "5.3", "Double GPU"
# What a graph may have planted: `ms` of one inference, or a list with that of each build; `wrong` answers; `crash`
# (while it is "built", or when it first "runs"); `unstable_ms`, which every other tenth of a second takes; `build_s`,
# and `first_build_s`. Inferences are timed by a clock of the double's own, so that nothing waits and nothing disturbs.
_STAND_IN = """
import sys
sys.path.insert(0, {tests!r})
from doubles.race_double import play
play()
"""


def equip(folder, plants):
    """Write the module into a folder; return the environment variables of processes that find it.

    Args:
        folder: new.
        plants: content of a graph to what is planted there.
    """
    os.makedirs(str(folder))
    with open(os.path.join(str(folder), "tensorrt.py"), "w") as stream:
        stream.write(_STAND_IN.format(tests=TESTS))
    named = {hashlib.sha256(graph).hexdigest(): plant for graph, plant in plants.items()}
    return {"PYTHONPATH": str(folder), "RACE_DOUBLE": json.dumps(named), "RACE_FOLDER": str(folder)}


def play():
    """Be TensorRT in this process."""
    plants = json.loads(os.environ["RACE_DOUBLE"])
    if os.path.basename(sys.argv[0]) == "build_child.py":
        build(plants)
    else:
        run(plants)


def build(plants):
    from doubles import tensorrt_double

    module = sys.modules["tensorrt"] = tensorrt_double.make(RELEASE, runs=True)
    parse = module.OnnxParser.parse

    def planted(parser, data):
        digest = hashlib.sha256(bytes(data)).hexdigest()
        plant = plants[digest]
        builds = os.path.join(os.environ["RACE_FOLDER"], digest + ".builds")
        with open(builds, "ab") as stream:
            stream.write(b".")
        first = os.path.getsize(builds) == 1
        time.sleep(plant.get("first_build_s", 0.0) if first else plant.get("build_s", 0.0))
        if plant.get("crash") == "built":
            os.kill(os.getpid(), signal.SIGSEGV)
        parsed = parse(parser, data)
        module.double.graph = "{} {}".format(digest, os.path.getsize(builds)).encode()
        return parsed

    module.OnnxParser.parse = planted


def run(plants):
    from doubles import gpu, tensorrt_runtime_double
    from doubles.cuda_machine import Machine
    from doubles.libcuda_double import make_libcuda

    from edgenext_deploy.artifacts import manifest as manifests
    from edgenext_deploy.engines.selftest.golden_test import golden_outputs
    from edgenext_deploy.runtime import graph

    machine = Machine(capability=tuple(int(part) for part in CAPABILITY.split(".")), name=GPU)
    library = make_libcuda(machine)
    graph.driver_library = lambda: library
    sys.modules.update(gpu.modules(machine, RELEASE))
    sys.modules["tensorrt"].__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
    manifest = manifests.read(TINY.replace(".onnx", ".json"))
    specs = {spec.name: (spec.shape, spec.dtype) for spec in (*manifest.inputs, *manifest.outputs)}
    answers = golden_outputs(manifest)

    def network(graph):
        digest, build = graph.decode().split()
        return Planted(specs, answers, plants[digest], int(build))

    tensorrt_runtime_double.network = network
    if os.path.basename(sys.argv[0]) == "heat_child.py":
        from edgenext_deploy.benchmarks.latency import blocks

        blocks._clock, blocks._MS_PER_TICK = (lambda: Planted.now_ms), 1.0


class Planted:
    """The tiny classifier, which takes as long as it is told, and gives the golden answer or another to everything."""

    inputs = ("image",)
    now_ms = 0.0
    chance = random.Random(0)

    def __init__(self, specs, answers, plant, build):
        self.specs, self._answers, self._plant = specs, answers, plant
        ms = plant.get("ms", 1.0)
        self._ms = ms[build - 1] if isinstance(ms, list) else ms

    def run(self, arrays):
        plant, ms = self._plant, self._ms
        if plant.get("crash") == "runs":
            os.kill(os.getpid(), signal.SIGSEGV)
        if plant.get("unstable_ms") and int(Planted.now_ms / 100) % 2:
            ms = plant["unstable_ms"]
        # Within a hundredth, as a quiet machine is.
        Planted.now_ms += ms * Planted.chance.uniform(0.995, 1.005)
        return {name: value + 1 if plant.get("wrong") else value for name, value in self._answers.items()}
