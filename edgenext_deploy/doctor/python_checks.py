"""Checks of Python and the libraries that every route or the cameras need."""
import shlex

from edgenext_deploy.doctor.findings import CORETYPE, Findings, Probe
from edgenext_deploy.doctor.machine import Machine
from edgenext_deploy.doctor.record import NOTE, OK, PROBLEM, Check
from edgenext_deploy.install import opencv_package
from edgenext_deploy.machine.versions import version_numbers

_ARMV8 = "export {}=ARMV8".format(CORETYPE)
# Wheels of manylinux2014, which is all there is for aarch64, need pip 19.3 (PEP 599).
_OLDEST_PIP = (19, 3, 0)


def check_python(machine: Machine, findings: Findings) -> Check:
    """Version, word size and, on a Jetson, whether it is the Python that JetPack's libraries are for."""
    version, bits = machine.python.version, machine.python.bits
    text = ".".join(str(number) for number in version)
    found = "{}, {} bit, {}, {}".format(text, bits, machine.architecture, machine.python.executable)
    if bits != 64:
        return Check("python", PROBLEM, found, "use a 64-bit Python: neither TensorRT nor ONNX Runtime has another")
    jetpack = findings.jetpack
    if jetpack is not None and jetpack.python != "{}.{}".format(*version[:2]) and not findings.tensorrt.imported:
        return Check("python", PROBLEM, "{}; JetPack's TensorRT is for Python {}".format(found, jetpack.python),
                     "install into JetPack's own: /usr/bin/python3 -m pip install edgenext_deploy-*.whl")
    return Check("python", OK, found)


def check_pip(machine: Machine, findings: Findings) -> Check:
    """Whether pip can install the wheels there are: the one that comes with JetPack 4 cannot."""
    pip, version = findings.pip, findings.pip.version
    last = machine.python.version[:2] == (3, 6)
    upgrade = run_pip(machine, "--upgrade pip==21.3.1" if last else "--upgrade pip")
    if pip.absent:
        return Check("pip", NOTE, "not installed", "sudo apt-get install python3-pip python3-venv")
    if version is None:
        return Check("pip", NOTE, unknown(pip), upgrade)
    if version_numbers(version, 3) < _OLDEST_PIP:
        return Check("pip", PROBLEM, "{}, which knows no manylinux2014 wheels and compiles everything".format(version),
                     upgrade)
    return Check("pip", OK, version + (", the last for Python 3.6 is 21.3.1" if last else ""))


def check_venv(machine: Machine, findings: Findings) -> Check:
    """Whether the libraries that apt installs (TensorRT, OpenCV) are visible."""
    python = machine.python
    if python.prefix == python.base_prefix:
        return Check("venv", OK, "none, the libraries in {} are used".format(python.prefix))
    config = machine.text(python.prefix + "/pyvenv.cfg")
    lines = dict(line.lower().split("=", 1) for line in (config or "").splitlines() if "=" in line)
    setting = {key.strip(): value.strip() for key, value in lines.items()}.get("include-system-site-packages")
    found = "{}, made from the Python in {}".format(python.prefix, python.base_prefix)
    if findings.tensorrt.imported or not (findings.jetson or system_tensorrt(machine)):
        return Check("venv", OK, found)
    if python.base_prefix != "/usr":
        return Check("venv", PROBLEM, found + "; TensorRT is installed for the one in /usr",
                     "/usr/bin/python3 -m venv --system-site-packages VENV, and install into that one")
    if setting == "true":
        return Check("venv", OK, found + ", with system site packages")
    if setting is None:
        return Check("venv", NOTE, "{}; unknown whether it sees system site packages".format(found))
    return Check(
        "venv", PROBLEM, found + ", without system site packages: it does not see what apt installed, such as TensorRT",
        "sed -i 's/^include-system-site-packages.*/include-system-site-packages = true/' {}".format(
            shlex.quote(python.prefix + "/pyvenv.cfg")))


def check_numpy(machine: Machine, findings: Findings) -> Check:
    """Whether it imports and multiplies; its 1.19.5 wheel dies on some ARM processors."""
    numpy, coretype = findings.numpy, machine.environ.get(CORETYPE)
    version = numpy.version or "of unknown version"
    if numpy.imported:
        return Check("numpy", OK, version + (", with {}={}".format(CORETYPE, coretype) if coretype else ""))
    # The last release without the trap, for Pythons that are old enough to have it.
    package = "numpy==1.19.4" if _has_trap(machine) else "numpy"
    if numpy.absent:
        return Check("numpy", PROBLEM, "not installed", run_pip(machine, package))
    if numpy.unknown:
        return Check("numpy", PROBLEM, unknown(numpy))
    if numpy.illegal_instruction and machine.architecture == "aarch64":
        found = "{} {} when it is imported".format(version, numpy.failure)
        if findings.numpy_armv8 is not None and findings.numpy_armv8.imported:
            return Check("numpy", PROBLEM, "{}; with {}=ARMV8 it works".format(found, CORETYPE),
                         "echo '{}' >> ~/.profile && {}".format(_ARMV8, _ARMV8))
        return Check("numpy", PROBLEM, found, run_pip(machine, "--force-reinstall " + package))
    return Check("numpy", PROBLEM, "{} cannot be imported: {}".format(version, numpy.failure),
                 run_pip(machine, "--force-reinstall " + package))


def check_onnxruntime(machine: Machine, findings: Findings) -> Check:
    """The route without a GPU."""
    library = findings.onnxruntime
    package = "onnxruntime==1.10.0" if machine.python.version[:2] == (3, 6) else "onnxruntime"
    if library.imported:
        providers = [str(name) for name in library.facts.get("providers") or []]
        found = "{}, {}".format(library.version, " ".join(providers) or "without providers")
        if "CPUExecutionProvider" in providers:
            return Check("onnxruntime", OK, found)
        return Check("onnxruntime", PROBLEM, found, run_pip(machine, "--force-reinstall " + package))
    if library.absent:
        other = findings.tensorrt.imported and findings.pycuda.imported
        return Check("onnxruntime", NOTE if other else PROBLEM,
                     "not installed: .onnx files cannot be run here", run_pip(machine, package))
    if library.unknown:
        return Check("onnxruntime", PROBLEM, unknown(library))
    return _broken("onnxruntime", library, findings, run_pip(machine, "--force-reinstall " + package))


def check_opencv(machine: Machine, findings: Findings) -> Check:
    """Cameras and videos; CSI cameras need one with GStreamer."""
    library = findings.opencv
    install = ("sudo apt-get install nvidia-opencv" if findings.jetson else
               run_pip(machine, opencv_package(machine.python.version)))
    if library.absent:
        return Check("opencv", NOTE, "not installed: no cameras and no videos, photos work", install)
    if library.unknown:
        return Check("opencv", NOTE, unknown(library))
    if not library.imported:
        return _broken("opencv", library, findings, install)
    gstreamer = library.facts.get("gstreamer")
    if gstreamer is None:
        return Check("opencv", NOTE, "{}, unknown whether with GStreamer".format(library.version))
    if gstreamer:
        return Check("opencv", OK, "{}, with GStreamer".format(library.version))
    found = "{}, without GStreamer".format(library.version)
    if findings.jetson:
        # The wheels on PyPI have none (opencv/opencv-python issue 524) and hide JetPack's, which has.
        return Check("opencv", PROBLEM, found + ": csi:// cameras cannot be opened",
                     "{} -m pip uninstall opencv-python opencv-python-headless opencv-contrib-python && {}".format(
                         shlex.quote(machine.python.executable), install))
    return Check("opencv", OK, found)


def unknown(library: Probe) -> str:
    """Return what is said of a library when not even its presence could be found out."""
    return "unknown: the process that was to import it failed: {}".format(library.failure)


def run_pip(machine: Machine, packages: str) -> str:
    """Return the command that installs packages into the running Python."""
    names = " ".join(shlex.quote(word) for word in packages.split())
    return "{} -m pip install {}".format(shlex.quote(machine.python.executable), names)


def needs_coretype(machine: Machine) -> bool:
    """Return whether numpy 1.19.5, in a build environment of pip's for example, may die here."""
    return _has_trap(machine) and CORETYPE not in machine.environ


def system_tensorrt(machine: Machine) -> str:
    """Return the folder of TensorRT's bindings as apt installs them, empty if there is none."""
    found = machine.glob("/usr/lib/python3*/dist-packages/tensorrt/__init__.py")
    return found[-1].rsplit("/", 1)[0] if found else ""


def _has_trap(machine: Machine) -> bool:
    return machine.architecture == "aarch64" and machine.python.version[:2] == (3, 6)


def _broken(name: str, library: Probe, findings: Findings, fix: str) -> Check:
    version = library.version or ""
    if not findings.numpy.imported:
        return Check(name, PROBLEM, " ".join([version, "cannot be imported as long as numpy cannot"]).strip())
    return Check(name, PROBLEM, " ".join([version, "cannot be imported:", str(library.failure)]).strip(), fix)
