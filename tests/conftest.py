"""Shared set-up. Also loaded under Python 3.6, so whatever a workstation has is imported inside."""
import gc
import os
import shutil
import signal
import subprocess
import sys

import pytest

# Helper modules lie in this folder.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from paths import ROOT

# The tests import onnxruntime themselves.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# The tests run side by side, a process for each core: threads of torch's would wait for each other, and spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts a background job with Ctrl-C ignored, and the commands that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def small_heap():
    """Keep what earlier modules have imported and made from the garbage collector.

    A measurement collects garbage first. That took 0.4 s in a process that has torch and seven thousand tests.
    """
    if sys.version_info >= (3, 7):
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def nano_export(tmp_path_factory):
    """Return a function from a variant's name to its export for nano with the golden parameters, made once."""
    from golden_exports import export_golden

    done = {}

    def export(variant):
        if variant not in done:
            done[variant] = export_golden(variant, tmp_path_factory.mktemp(variant), fp16=True)
        return done[variant]

    return export


@pytest.fixture(scope="session")
def nano_head(tmp_path_factory):
    """Return a function from the name of a detector or segmenter to its export for nano at 96x96, made once.

    A detector is also exported with the NMS plugin.
    """
    import exports

    done = {}

    def export(variant):
        if variant not in done:
            done[variant] = exports.export(
                variant, tmp_path_factory.mktemp(variant), fp16=True, image_size=96,
                nms="plugin" if variant.endswith("_ssdlite") else "host")
        return done[variant]

    return export


@pytest.fixture
def source_copy(tmp_path):
    """Return a copy of what the packages are made of, links as links."""
    return copy_source(tmp_path / "source")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Return the path of the project's wheel, built once from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder),
                    str(copy_source(folder / "source"))], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                   cwd=str(folder))
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def sdist(tmp_path_factory):
    """Return the path of the project's source distribution, built once from a copy of the sources."""
    folder = tmp_path_factory.mktemp("sdist")
    code = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, stdout=subprocess.PIPE,
                   stderr=subprocess.PIPE, cwd=str(copy_source(folder / "source")))
    (path,) = folder.glob("*.tar.gz")
    return path


def copy_source(folder):
    folder.mkdir()
    for name in ("edgenext_deploy", "models", "export", "engines", "benchmarks"):
        shutil.copytree(os.path.join(ROOT, name), str(folder / name), symlinks=True,
                        ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(os.path.join(ROOT, name), str(folder))
    return folder
