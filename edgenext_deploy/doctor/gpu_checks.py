"""Checks of what TensorRT plans need: JetPack, driver, CUDA, TensorRT, pycuda."""
import re
import shlex
from typing import Optional

from edgenext_deploy.doctor.findings import CORETYPE, Findings
from edgenext_deploy.doctor.machine import Machine
from edgenext_deploy.doctor.python_checks import needs_coretype, run_pip, system_tensorrt, unknown
from edgenext_deploy.doctor.record import NOTE, OK, PROBLEM, Check
from edgenext_deploy.machine.versions import version_numbers

_OLDEST_TENSORRT = (8, 0, 0)
# Installs CUDA, TensorRT and the rest of a Jetson's release (NVIDIA's "How to Install and Configure JetPack SDK").
_JETPACK_PACKAGE = "sudo apt-get update && sudo apt-get install nvidia-jetpack"
_NOT_NEEDED = "; only TensorRT plans need it"


def check_jetpack(machine: Machine, findings: Findings) -> Check:
    """Which Jetson Linux and JetPack this is."""
    board = findings.board or "a Jetson"
    if not findings.jetson:
        return Check("jetpack", NOTE, "not a Jetson" + (": " + findings.board if findings.board else ""))
    if findings.l4t is None:
        return Check("jetpack", NOTE, "{}, Jetson Linux release unknown: /etc/nv_tegra_release cannot be read".format(
            board), "in a container: docker run -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro ...")
    row = findings.jetpack
    if row is None:
        return Check("jetpack", NOTE, "{}, Jetson Linux {}, JetPack unknown to this toolkit".format(
            board, findings.l4t))
    found = "{}, Jetson Linux {}, JetPack {} (Python {}, CUDA {}, TensorRT {})".format(
        board, findings.l4t, row.name, row.python, row.cuda, row.tensorrt)
    if version_numbers(row.tensorrt) < _OLDEST_TENSORRT:
        return Check("jetpack", PROBLEM, found + "; this toolkit needs TensorRT 8",
                     "flash JetPack 4.6.1 or later; updates by apt stay within a release")
    if row.name == "4.6":
        return Check("jetpack", NOTE, found + "; the target nano is written for TensorRT 8.2",
                     "flash JetPack 4.6.1 or later")
    return Check("jetpack", OK, found)


def check_driver(machine: Machine, findings: Findings) -> Check:
    """Whether CUDA's driver library answers and sees a GPU."""
    here = findings.environment
    container = "in a container, start it with NVIDIA's runtime: docker run --runtime nvidia"
    if findings.has_gpu:
        return Check("driver", OK, "{}, compute capability {}, driver {}for CUDA {}".format(
            here.gpu or "GPU without a name", here.compute_capability,
            here.driver + " " if here.driver else "", here.cuda_driver or "unknown"))
    if findings.environment_failure is not None:
        return Check("driver", PROBLEM if findings.jetson else NOTE,
                     "unknown: the process that asked CUDA {}".format(findings.environment_failure),
                     "look for NVIDIA's messages in: dmesg | grep -i -e nvrm -e nvgpu")
    if here.cuda_driver is not None:
        found = "driver for CUDA {}, but it finds no GPU".format(here.cuda_driver)
    else:
        found = "no driver: libcuda.so.1 is not there or does not answer"
    if findings.jetson:
        return Check("driver", PROBLEM, found, "{}; otherwise add the user to the group video, see below".format(
            container))
    if findings.wants_gpu:
        return Check("driver", PROBLEM, found, "nvidia-smi says more; " + container)
    return Check("driver", NOTE, found + _NOT_NEEDED)


def check_cuda(machine: Machine, findings: Findings) -> Check:
    """Whether CUDA's compiler is there and on PATH: building pycuda and its kernels needs it."""
    version = _nvcc_version(findings) or findings.environment.cuda or "of unknown version"
    if findings.nvcc is not None:
        says = findings.nvcc_says
        if says is not None and says.code != 0:
            return Check("cuda", PROBLEM, "{} {}".format(
                findings.nvcc, says.failure or "fails with exit code {}".format(says.code)))
        return Check("cuda", OK, "{}, {}".format(version, findings.nvcc))
    if findings.nvcc_elsewhere is not None:
        folder = findings.nvcc_elsewhere.rsplit("/", 1)[0]
        line = "export PATH={}:$PATH".format(shlex.quote(folder))
        return Check("cuda", PROBLEM if findings.wants_gpu else NOTE,
                     "{}, but {} is not on PATH".format(version, findings.nvcc_elsewhere),
                     "echo {} >> ~/.profile && {}".format(shlex.quote(line), line))
    if findings.jetson:
        return Check("cuda", PROBLEM, "no CUDA toolkit", _JETPACK_PACKAGE)
    if findings.wants_gpu:
        return Check("cuda", NOTE, "no CUDA toolkit: pycuda cannot be built or compile kernels",
                     "install NVIDIA's CUDA toolkit of the driver's version")
    return Check("cuda", NOTE, "no CUDA toolkit" + _NOT_NEEDED)


def check_tensorrt(machine: Machine, findings: Findings) -> Check:
    """Whether this Python can import TensorRT, and if not, why."""
    library, row = findings.tensorrt, findings.jetpack
    if library.imported:
        found = library.version or "of unknown version"
        if library.version is None or version_numbers(library.version, 3) < _OLDEST_TENSORRT:
            return Check("tensorrt", PROBLEM, found + "; this toolkit needs TensorRT 8 or later")
        if row is not None and version_numbers(library.version, 3) != version_numbers(row.tensorrt, 3):
            return Check("tensorrt", NOTE, "{}; JetPack {} comes with {}".format(found, row.name, row.tensorrt))
        return Check("tensorrt", OK, found)
    if library.unknown:
        return Check("tensorrt", PROBLEM if findings.wants_gpu else NOTE, unknown(library))
    if not library.absent:
        found = "{} cannot be imported: {}".format(library.version or "installed, but", library.failure)
        return Check("tensorrt", PROBLEM, found, _JETPACK_PACKAGE if findings.jetson else None)
    folder = system_tensorrt(machine)
    python = "python{}.{}".format(*machine.python.version[:2])
    if folder and ("/python3/" in folder or "/{}/".format(python) in folder):
        return Check("tensorrt", PROBLEM, "installed in {}, which this virtual environment does not see".format(folder),
                     "see venv" if machine.python.prefix != machine.python.base_prefix else
                     "/usr/bin/python3 sees it; this Python is in {}".format(machine.python.prefix))
    if folder:
        return Check("tensorrt", PROBLEM, "installed in {}, for another Python than this {}".format(folder, python),
                     "run with the Python that it is for, /usr/bin/python3")
    if machine.glob("/var/lib/dpkg/info/libnvinfer[0-9]*.list"):
        return Check("tensorrt", PROBLEM, "its libraries are installed, its Python bindings are not",
                     "sudo apt-get install python3-libnvinfer")
    found = "not installed"
    if findings.environment.tensorrt_rtx is not None:
        found += " (TensorRT-RTX {} is, another runtime)".format(findings.environment.tensorrt_rtx)
    if findings.jetson:
        return Check("tensorrt", PROBLEM, found, _JETPACK_PACKAGE)
    if findings.wants_gpu:
        return Check("tensorrt", NOTE, found, run_pip(machine, "tensorrt"))
    return Check("tensorrt", NOTE, found + _NOT_NEEDED)


def check_pycuda(machine: Machine, findings: Findings) -> Check:
    """Whether pycuda works; it is compiled where it is installed, which is where it goes wrong."""
    library = findings.pycuda
    if library.imported:
        found = library.version or "of unknown version"
        devices = library.facts.get("devices")
        if isinstance(devices, int) and devices > 0:
            return Check("pycuda", OK, found)
        return Check("pycuda", PROBLEM if findings.wants_gpu else NOTE, "{} is installed, but CUDA fails: {}".format(
            found, library.failure or "no GPU"), "see driver")
    if library.absent:
        if findings.wants_gpu:
            return Check("pycuda", PROBLEM, "not installed: plans cannot be run", _build_pycuda(machine, findings))
        return Check("pycuda", NOTE, "not installed" + _NOT_NEEDED)
    if library.unknown:
        return Check("pycuda", PROBLEM if findings.wants_gpu else NOTE, unknown(library))
    found = "{} cannot be imported: {}".format(library.version or "installed, but", library.failure)
    if not findings.wants_gpu:
        return Check("pycuda", NOTE, found)
    if not findings.numpy.imported:
        return Check("pycuda", PROBLEM, "cannot be imported as long as numpy cannot")
    missing = re.search(r"lib\w+\.so", library.failure or "")
    if missing and missing.group() == "libcuda.so":
        return Check("pycuda", PROBLEM, found, "see driver")
    if missing:
        folder = _cuda_folder(machine, findings)
        return Check("pycuda", PROBLEM, found, "export LD_LIBRARY_PATH={}/lib64:$LD_LIBRARY_PATH".format(folder))
    return Check("pycuda", PROBLEM, found, _build_pycuda(
        machine, findings, again="No module named" not in str(library.failure)))


def _build_pycuda(machine: Machine, findings: Findings, again: bool = False) -> str:
    """Return the commands that compile pycuda; there are no wheels.

    Args:
        machine: where.
        findings: about it.
        again: it is installed, so that pip would have nothing to do.
    """
    folder = _cuda_folder(machine, findings)
    words = ["PATH={}/bin:$PATH".format(folder), "CPATH={}/include".format(folder),
             "LIBRARY_PATH={}/lib64".format(folder)]
    if needs_coretype(machine):
        words.append("{}=ARMV8".format(CORETYPE))
    commands = ["export " + " ".join(words)]
    options = "--no-cache-dir " + ("--force-reinstall --no-deps " if again else "")
    if machine.python.version < (3, 8):
        # 2022.1 is the last release for Python 3.6 and 3.7 (python_requires in its setup.py). Its pyproject.toml asks
        # for numpy 1.12.1 or 1.15.4 to build with, which have no wheels for aarch64: pip would compile numpy first.
        commands += [run_pip(machine, "setuptools==59.6.0 wheel"),
                     run_pip(machine, "--no-build-isolation {}pycuda==2022.1".format(options))]
    else:
        commands.append(run_pip(machine, options + "pycuda"))
    return " && ".join(commands)


def _cuda_folder(machine: Machine, findings: Findings) -> str:
    """Return where CUDA's headers and libraries are; nvcc may be a link somewhere else."""
    compiler = findings.nvcc or findings.nvcc_elsewhere or ""
    folder = compiler[:-len("/bin/nvcc")] if compiler.endswith("/bin/nvcc") else ""
    if folder and machine.exists(folder + "/include/cuda.h"):
        return shlex.quote(folder)
    return "/usr/local/cuda"


def _nvcc_version(findings: Findings) -> Optional[str]:
    match = re.search(r"\bV(\d+\.[\d.]*\d)", findings.nvcc_says.output if findings.nvcc_says else "")
    return match.group(1) if match else None
