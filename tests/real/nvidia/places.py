"""Where NVIDIA's own software lies once `prepare.py` has fetched and built it, and what is missing of it."""
import os
import sys

from paths import ROOT

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(ROOT, ".cache", "real")
LIBRARIES = os.path.join(CACHE, "lib")
DRIVER = os.path.join(LIBRARIES, "libcuda.so.1")
KERNELS = os.path.join(LIBRARIES, "kernels.so")
PINS = os.path.join(ROOT, "requirements", "real.txt")


def pins(kind):
    """Return the lines of requirements/real.txt of one kind: (release, Python, packages)."""
    with open(PINS) as stream:
        lines = [line.split() for line in stream if line.strip() and not line.startswith("#")]
    return [(line[1], line[2], line[3:]) for line in lines if line[0] == kind]


# Each release once, the oldest first.
RELEASES = tuple(dict.fromkeys(release for release, _, _ in pins("bindings")))


def present_python():
    return "{}.{}".format(*sys.version_info[:2])


def bindings(release, python):
    """Return the folder of the bindings of a release for a Python, such as ``3.11``."""
    return os.path.join(CACHE, "bindings", "{}-py{}".format(release, python))


def pycuda(release, python):
    return os.path.join(CACHE, "pycuda", "{}-py{}".format(release, python))


def slots(release):
    """Return the path of the numbers of the virtual functions of a release."""
    return os.path.join(CACHE, "slots", release + ".json")


def trouble():
    """Return the path of the text that says what `prepare.py` could not do."""
    return os.path.join(CACHE, "trouble.txt")


def missing(*paths):
    """Return why tests that need these paths cannot run, or None."""
    absent = [os.path.relpath(path, ROOT) for path in paths if not os.path.exists(path)]
    if not absent:
        return None
    why = "make test-real sets it up"
    if os.path.exists(trouble()):
        with open(trouble()) as stream:
            why = " ".join(stream.read().split())[:300] or why
    return "{} is not there: {}".format(absent[0], why)
