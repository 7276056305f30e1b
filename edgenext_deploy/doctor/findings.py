"""Everything the checks judge, collected once: what child processes answer, and what few files say."""
import json
from typing import Any, Dict, NamedTuple, Optional

from edgenext_deploy.doctor.machine import Machine, Outcome
from edgenext_deploy.machine.environment import Environment
from edgenext_deploy.machine.facts import board_model, is_jetson, l4t_release
from edgenext_deploy.machine.jetpack import JetPack, find_jetpack
from edgenext_deploy.machine.power_mode import NVPMODEL_STATUS

_LIBRARIES = ("numpy", "pip", "onnxruntime", "opencv", "tensorrt", "pycuda")
CORETYPE = "OPENBLAS_CORETYPE"
# What an export imports; see `commands.entry.require_libraries`.
EXPORTS = ("torch", "onnx", "onnxsim", "onnxruntime", "safetensors")
_WORKSTATION = (*(name for name in EXPORTS if name not in _LIBRARIES), "tensorrt_rtx")


class Probe(NamedTuple):
    """What a child process said about a library.

    Attributes:
        facts: its answers, see `probe`.
        failure: why there are no more answers: an import error, a signal, a timeout.
    """

    facts: Dict[str, Any]
    failure: Optional[str] = None

    @property
    def imported(self) -> bool:
        """Whether the library was imported and worked."""
        return self.facts.get("imported") is True

    @property
    def absent(self) -> bool:
        """Whether the library is known not to be installed; False also where that is not known."""
        return self.facts.get("installed") is False

    @property
    def unknown(self) -> bool:
        """Whether not even that could be found out."""
        return "installed" not in self.facts

    @property
    def version(self) -> Optional[str]:
        """Version of the library, or the one its installation claims if it cannot be imported."""
        version = self.facts.get("version")
        return str(version) if version is not None else None

    @property
    def illegal_instruction(self) -> bool:
        """Whether the import used an instruction that this processor does not have."""
        return self.failure is not None and "SIGILL" in self.failure


class Findings(NamedTuple):
    """What was found.

    Attributes:
        numpy: and the next five: the libraries' probes.
        workstation: probes of what only exports use, by name; empty on a Jetson and before Python 3.10.
        numpy_armv8: numpy's probe with OPENBLAS_CORETYPE=ARMV8, run only if it died of an illegal instruction.
        environment: what the machine has for running plans.
        environment_failure: why `environment` could not be found out.
        board: the device tree's model.
        jetson: whether the machine is a Jetson, see `machine.facts.is_jetson`.
        l4t: Jetson Linux release.
        jetpack: the JetPack of that release.
        nvcc: path of CUDA's compiler, found through PATH.
        nvcc_elsewhere: path of CUDA's compiler under /usr/local, where PATH does not lead.
        nvcc_says: how ``nvcc --version`` ended.
        nvpmodel_says: how ``nvpmodel -q`` ended, run only if its status file cannot be read.
    """

    numpy: Probe
    pip: Probe
    onnxruntime: Probe
    opencv: Probe
    tensorrt: Probe
    pycuda: Probe
    workstation: Dict[str, Probe]
    numpy_armv8: Optional[Probe]
    environment: Environment
    environment_failure: Optional[str]
    board: Optional[str]
    jetson: bool
    l4t: Optional[str]
    jetpack: Optional[JetPack]
    nvcc: Optional[str]
    nvcc_elsewhere: Optional[str]
    nvcc_says: Optional[Outcome]
    nvpmodel_says: Optional[Outcome]

    @property
    def has_gpu(self) -> bool:
        """Whether CUDA sees a GPU."""
        return self.environment.compute_capability is not None

    @property
    def wants_gpu(self) -> bool:
        """Whether a GPU should work here: on a Jetson, and where CUDA sees one or NVIDIA's kernel driver runs."""
        return self.jetson or self.has_gpu or self.environment.driver is not None


def gather(machine: Machine) -> Findings:
    """Ask the machine everything."""
    nvcc = machine.which("nvcc")
    # The link to the chosen release first.
    elsewhere = machine.glob("/usr/local/cuda/bin/nvcc") + machine.glob("/usr/local/cuda-*/bin/nvcc")
    jetson = is_jetson(machine)
    exports = _WORKSTATION if not jetson and machine.python.version >= (3, 10) else ()
    commands = {name: machine.probe_command(name) for name in (*exports, *_LIBRARIES, "environment")}
    compiler = nvcc or (elsewhere[0] if elsewhere else None)
    if compiler is not None:
        commands["nvcc"] = [compiler, "--version"]
    nvpmodel = machine.which("nvpmodel") or "/usr/sbin/nvpmodel"
    if machine.text(NVPMODEL_STATUS) is None and machine.exists(nvpmodel):
        commands["nvpmodel"] = [nvpmodel, "-q"]
    outcomes = dict(zip(commands, machine.run(list(commands.values()))))
    probes = {name: read_probe(outcomes[name]) for name in _LIBRARIES}
    armv8 = None
    if probes["numpy"].illegal_instruction:
        armv8 = read_probe(machine.run([machine.probe_command("numpy")], {CORETYPE: "ARMV8"})[0])
    surroundings = read_probe(outcomes["environment"])
    known: Dict[str, Any] = {name: surroundings.facts.get(name) for name in Environment._fields}
    l4t = l4t_release(machine)
    return Findings(
        workstation={name: read_probe(outcomes[name]) for name in exports},
        numpy_armv8=armv8,
        environment=Environment(**dict(known, platform=known["platform"] or "unknown")),
        environment_failure=surroundings.failure,
        board=board_model(machine),
        jetson=jetson,
        l4t=l4t,
        jetpack=find_jetpack(l4t),
        nvcc=nvcc,
        nvcc_elsewhere=elsewhere[0] if elsewhere and nvcc is None else None,
        nvcc_says=outcomes.get("nvcc"),
        nvpmodel_says=outcomes.get("nvpmodel"),
        **probes)


def read_probe(outcome: Outcome) -> Probe:
    """Return what a probe's child process said."""
    facts: Dict[str, Any] = {}
    for line in outcome.output.splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict):
            facts.update(answer)
    failure = outcome.failure or facts.get("error")
    if failure is None and outcome.code != 0:
        failure = "ended with exit code {}: {}".format(outcome.code, last_line(outcome.errors))
    if failure is None and not facts:
        failure = "gave no answer"
    return Probe(facts, failure)


def last_line(text: str) -> str:
    """Return the last line that is not empty, for a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no message"
