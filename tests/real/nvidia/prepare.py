"""prepare.py [--python36 PATH] [--all]: fetch and build the real software for the tests here, under .cache/real.

NVIDIA's bindings of TensorRT come from PyPI as wheels, pycuda as source. pycuda is compiled against CUDA's headers,
which are also a wheel, and linked with the driver library of `driver/`. What cannot be done here (no compiler,
no network) is written to .cache/real/trouble.txt; the tests that need it are skipped and say so.
"""
import argparse
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from real.nvidia import places

WHEELS = os.path.join(places.CACHE, "wheels")
MAJORS = ("8", "10", "11")
# Of the older releases of pycuda, only `make test-all` builds any.
ALWAYS = ("2022.1", "2026.1")
# Each pycuda is compiled by one process.
_compilers = threading.Semaphore(2)
SITECONF = """
BOOST_INC_DIR, BOOST_LIB_DIR, BOOST_COMPILER, USE_SHIPPED_BOOST = [], [], "gcc43", True
BOOST_PYTHON_LIBNAME, BOOST_THREAD_LIBNAME = [], []
CUDA_TRACE, CUDA_ENABLE_GL, CUDA_ENABLE_CURAND = False, False, False
CUDA_ROOT, CUDA_INC_DIR = "/nonexistent", {include!r}
CUDADRV_LIB_DIR, CUDADRV_LIBNAME = [{libraries!r}], ["cuda"]
CUDART_LIB_DIR, CUDART_LIBNAME, CURAND_LIB_DIR, CURAND_LIBNAME = [], ["cudart"], [], ["curand"]
CXXFLAGS, LDFLAGS = ["-O0", "-g0", "-w"], []
"""


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, **options)
    if done.returncode != 0:
        raise RuntimeError("{} failed: {}".format(" ".join(command[:6]), done.stdout.strip()[-600:]))
    return done.stdout


def once(target, make, *sources):
    """Make a file or folder unless it was made from the same sources, by content and name, before."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.encode())
        if os.path.isfile(source):
            with open(source, "rb") as stream:
                digest.update(stream.read())
    stamp = target + ".made-of"
    if os.path.exists(target) and os.path.exists(stamp):
        with open(stamp) as stream:
            if stream.read() == digest.hexdigest():
                return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    make()
    with open(stamp, "w") as stream:
        stream.write(digest.hexdigest())


def download(package, python, *options):
    """Return the path of one package's file, fetched unless it is there."""
    name, _, version = package.partition("==")
    tag = "-cp{}".format(python.replace(".", "")) if name.startswith("tensorrt") else ""
    pattern = os.path.join(WHEELS, "{}-{}{}*".format(name.replace("-", "[-_]"), version, tag))
    if not glob.glob(pattern):
        run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", WHEELS, *options, package)
    return glob.glob(pattern)[0]


def fetch_wheel(package, python, folder):
    options = ["--only-binary=:all:"] + (["--python-version", python] if python != "any" else [])
    path = download(package, python, *options)

    def unpack():
        shutil.rmtree(folder, ignore_errors=True)
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)

    once(folder, unpack, path)


def include_folder(major):
    return os.path.join(places.CACHE, "headers", major, "nvidia", "cuda_runtime", "include")


def fetch_bindings():
    for release, python, (package,) in places.pins("bindings"):
        fetch_wheel(package, python, places.bindings(release, python))


def fetch_headers():
    for major, python, (package,) in places.pins("headers"):
        fetch_wheel(package, python, os.path.join(places.CACHE, "headers", major))
        shutil.copy(os.path.join(places.HERE, "driver", "cudaProfiler.h"), include_folder(major))


def sources(folder):
    return sorted(glob.glob(os.path.join(places.HERE, folder, "*.*")))


def build_driver():
    """Compile libcuda.so.1; what pycuda links besides is a function that returns "not supported"."""
    folder = os.path.join(places.HERE, "driver")

    def make():
        part = os.path.join(places.LIBRARIES, "driver.o")
        run("g++", "-std=c++14", "-O1", "-w", "-fPIC", "-c", "-I" + include_folder("12"),
            os.path.join(folder, "driver.cpp"), "-o", part)
        defined = {line.split()[-1] for line in run("nm", "--defined-only", part).splitlines() if line}
        with open(os.path.join(folder, "wanted.txt")) as stream:
            wanted = sorted(set(stream.read().split()) - defined)
        stubs = os.path.join(places.LIBRARIES, "stubs.c")
        with open(stubs, "w") as stream:
            stream.writelines("int {}(void) {{ return 801; }}\n".format(name) for name in wanted)
        run("g++", "-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1", "-o", places.DRIVER, part, "-xc", stubs,
            "-ldl", "-lpthread")
        link = os.path.join(places.LIBRARIES, "libcuda.so")
        if not os.path.lexists(link):
            os.symlink("libcuda.so.1", link)

    os.makedirs(places.LIBRARIES, exist_ok=True)
    once(places.DRIVER, make, *sources("driver"))


def build_trap():
    """Compile what lies below the bindings: libnvinfer and its companions, for each major release."""
    here = os.path.join(places.HERE, "trap")
    for major in MAJORS:
        def path(name, major=major):
            return os.path.join(places.LIBRARIES, "lib{}.so.{}".format(name, major))

        def compile_(name, source, *options, path=path):
            soname = "-Wl,-soname," + os.path.basename(path(name))
            run("g++", "-std=c++14", "-O0", "-w", "-shared", "-fPIC", soname, "-o", path(name), *options,
                os.path.join(here, source), "-ldl")

        def make(compile_=compile_, path=path):
            compile_("nvinfer", "trap.cpp")
            for define, name in (("PARSER", "nvonnxparser"), ("PLUGIN", "nvinfer_plugin"), ("PARSERS", "nvparsers")):
                compile_(name, "rest.cpp", "-D" + define, path("nvinfer"))

        once(path("nvinfer"), make, *sources("trap"))


def build_kernels():
    """Compile our CUDA kernels as C++, for the driver."""
    from doubles import kernel_double

    cuda = [os.path.join(places.ROOT, "edgenext_deploy", "preprocess", "kernels.cu"),
            os.path.join(places.HERE, "driver", "add_one.cu")]

    def make():
        text = ""
        for path in cuda:
            with open(path) as stream:
                text += stream.read()
        shutil.copy(kernel_double.build(kernel_double.with_types(text)), places.KERNELS)

    once(places.KERNELS, make, kernel_double.__file__, *cuda)


def find_slots():
    for release in places.RELEASES:
        script = os.path.join(places.HERE, "find_slots.py")
        once(places.slots(release), lambda release=release, script=script: run(
            sys.executable, script, release, places.slots(release)), script, *sources("trap"))


def build_pycuda(release, python, interpreter, packages):
    """Compile a pycuda, keep its wheel, and install it with what it needs in a folder of its own."""
    headers = "12" if python == "3.11" else "11"
    folder = places.pycuda(release, python)
    work = os.path.join(places.CACHE, "build", os.path.basename(folder))
    wheels = os.path.join(WHEELS, "built-py" + python)

    def make():
        if not glob.glob(os.path.join(wheels, "pycuda-{}-*".format(release))):
            shutil.rmtree(work, ignore_errors=True)
            archive = download(packages[0], "any", "--no-build-isolation", "--no-binary=:all:")
            with tarfile.open(archive) as stream:
                stream.extractall(work)
            (source,) = glob.glob(os.path.join(work, "*"))
            with open(os.path.join(source, "siteconf.py"), "w") as stream:
                stream.write(SITECONF.format(include=[include_folder(headers)], libraries=places.LIBRARIES))
            run(interpreter, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, source,
                env=dict(os.environ, CUDA_ROOT="/nonexistent"))
            shutil.rmtree(work)
        (wheel,) = glob.glob(os.path.join(wheels, "pycuda-{}-*".format(release)))
        shutil.rmtree(folder, ignore_errors=True)
        run(interpreter, "-m", "pip", "install", "-q", "--no-deps", "--target", folder, wheel, *packages[1:])

    with _compilers:
        once(folder, make, *packages)


class Step(threading.Thread):
    """One part of the work beside the others; an error is kept."""

    def __init__(self, function, *arguments):
        super().__init__()
        self.function, self.arguments, self.error = function, arguments, ""
        self.start()

    def run(self):
        try:
            self.function(*self.arguments)
        except Exception as error:
            self.error = "{}: {}".format(type(error).__name__, error)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python36", default="")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    os.makedirs(WHEELS, exist_ok=True)
    interpreters = {"3.11": sys.executable, "3.6": options.python36}

    def pycudas():
        fetch_headers()
        build_driver()
        steps = [Step(build_pycuda, release, python, interpreters[python], packages)
                 for release, python, packages in places.pins("pycuda")
                 if interpreters[python] and (options.all or release in ALWAYS)]
        failed = [step.error for step in steps if step.join() or step.error]
        if failed:
            raise RuntimeError("; ".join(failed))

    def below_tensorrt():
        build_trap()
        build_kernels()
        fetch_bindings()
        find_slots()

    steps = [Step(pycudas), Step(below_tensorrt)]
    troubles = [step.error for step in steps if step.join() or step.error]
    with open(places.trouble(), "w") as stream:
        stream.write("\n".join(troubles))
    for text in troubles:
        print("not prepared, and its tests will be skipped: " + text)  # noqa: T201


if __name__ == "__main__":
    main()
