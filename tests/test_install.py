"""The wheel, the source distribution and an editable install: what is in them, and that every Python imports all of it.

`make` names a Python 3.6 and a 3.13 with what the package itself needs (EDGENEXT_PYTHON36, EDGENEXT_PYTHON313).
"""
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import paths
import pytest

from edgenext_deploy.commands.console import MODULES
from edgenext_deploy.remote.setting_up.wheels import own_wheel

ROOT = Path(paths.ROOT)
SCRIPT = os.path.join(paths.TESTS, "import_everything.py")
PYTHONS = {"3.6": os.environ.get("EDGENEXT_PYTHON36"), "3.11": sys.executable,
           "3.13": os.environ.get("EDGENEXT_PYTHON313")}
FILES = ("edgenext_deploy/py.typed", "edgenext_deploy/models/definitions/edgenext.py",
         "edgenext_deploy/export/commands/cli.py",
         "edgenext_deploy/benchmarks/commands/cli.py", "edgenext_deploy/data/trt_operators.json",
         "edgenext_deploy/data/photos/cat.jpg", "edgenext_deploy/data/icons.safetensors",
         "edgenext_deploy/data/icons/ice cream/0.jpg", "edgenext_deploy/preprocess/kernels.cu",
         "edgenext_deploy/benchmarks/report/html/page.css", "edgenext_deploy/remote/setting_up/digests.txt",
         "edgenext_deploy/runtime/ort.py")
STAGES = ("models", "export", "engines", "benchmarks")


@pytest.fixture(scope="module", params=sorted(PYTHONS))
def python(request):
    """Return a Python of each version that we care for."""
    if not PYTHONS[request.param]:
        pytest.skip("EDGENEXT_PYTHON{} names no Python {}".format(request.param.replace(".", ""), request.param))
    return PYTHONS[request.param]


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


def import_everything(python, where, folder, search=None):
    """Import every module in a child whose current folder is `folder`; return how many there were."""
    code = "import runpy, sys; sys.argv[1:] = [{!r}]; runpy.run_path({!r}, run_name='__main__')".format(
        str(where), SCRIPT)
    environment = dict(os.environ, LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1")
    environment.pop("PYTHONPATH", None)
    if search:
        environment["PYTHONPATH"] = str(search)
    return int(run([python, "-c", code], cwd=str(folder), env=environment).split()[-1])


def test_the_wheel_is_universal_and_complete(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(str(wheel)).namelist()
    assert set(FILES) <= set(names)
    assert not [name for name in names if name.split("/")[0] in (*STAGES, "tests")]
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "edgenext_deploy").glob("**/*.py")}
    ours |= {"edgenext_deploy/{}".format(path.relative_to(ROOT)) for stage in STAGES
             for path in (ROOT / stage).glob("**/*.py")}
    assert {name for name in names if name.endswith(".py")} == ours


def test_the_wheel_that_boards_get_has_the_same_files(wheel, tmp_path, monkeypatch):
    """`edgenext-remote` makes one without any build tool, the same bytes each time."""
    monkeypatch.setenv("EDGENEXT_CACHE", str(tmp_path))
    path = own_wheel()
    assert own_wheel() == path and Path(path).name == wheel.name

    def files(archive):
        return {name for name in zipfile.ZipFile(str(archive)).namelist() if ".dist-info/" not in name}

    assert files(path) == files(wheel)
    run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path / "site"), path])
    assert {path.name for path in (tmp_path / "site" / "bin").iterdir()} == set(MODULES)


def test_the_source_distribution_holds_what_the_links_point_at(sdist):
    with tarfile.open(str(sdist)) as archive:
        names = {member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()}
    assert {*FILES, "setup.cfg", "README.md", "LICENSE"} <= names


def test_an_installed_wheel_imports_everywhere(wheel, python, tmp_path):
    """From outside the checkout it is the installed copy, in the checkout's root the checkout."""
    site = tmp_path / "site"
    run([python, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)])
    count = import_everything(python, site, tmp_path, search=site)
    assert count > 150
    assert import_everything(python, ROOT, ROOT, search=site) == count


@pytest.mark.real
def test_an_installed_source_distribution_imports(sdist, python, tmp_path):
    site = tmp_path / "site"
    run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(site), str(sdist)])
    assert import_everything(python, site, tmp_path, search=site) > 150


@pytest.mark.real
def test_an_editable_install_imports(source_copy, python, tmp_path):
    """In an environment of its own: what an editable install writes into its environment must go with it."""
    environment = tmp_path / "environment"
    run([python, "-m", "venv", "--without-pip", str(environment)])
    inside = str(environment / "bin" / "python")
    find = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    libraries = run([python, "-c", find]).strip()
    Path(run([inside, "-c", find]).strip(), "libraries.pth").write_text(libraries + "\n")
    run([inside, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", str(source_copy)])
    assert import_everything(inside, source_copy, tmp_path) > 150


def test_versions_agree(wheel, tmp_path):
    run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)])
    code = ("import edgenext_deploy, importlib.metadata\n"
            "print(edgenext_deploy.__version__ == importlib.metadata.version('edgenext-deploy'))")
    assert run([sys.executable, "-c", code], cwd=str(tmp_path),
               env=dict(os.environ, PYTHONPATH=str(tmp_path / "site"))).strip() == "True"
