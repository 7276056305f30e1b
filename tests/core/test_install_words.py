"""Until the project is on PyPI nobody is told to install it from there: one constant says how it is installed."""
import re
from pathlib import Path

import paths

from edgenext_deploy import install

ROOT = Path(paths.ROOT)
FOLDERS = ("edgenext_deploy", "models", "export", "engines", "benchmarks", "examples", "docs", "requirements",
           ".github")
ON_PYPI = re.compile(r"""(?:pip3? install|uv add|pipx install)[^\n`]*?["' ]edgenext-deploy(?![.\w-])""")


def texts():
    """Return every text in which a user may read how the project is installed."""
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    endings = (".py", ".md", ".cfg", ".toml", ".txt", ".yml", ".yaml", ".cff", "")
    return [path for path in files if path.suffix in endings]


def test_no_text_names_a_package_that_is_not_on_pypi():
    assert install.PACKAGE == "."  # once it is published, this test has no purpose any more
    found = texts()
    assert len(found) > 200
    told = [str(path.relative_to(ROOT)) for path in found
            # How it will be once it is published.
            if path.name not in ("releasing.md", "release.yml")
            and ON_PYPI.search(path.read_text(encoding="utf-8", errors="replace"))]
    assert told == []


def test_such_a_text_would_be_found():
    for text in ('pip install "edgenext-deploy[export]"', "python3 -m pip install -U edgenext-deploy",
                 "pip install 'edgenext-deploy==1'"):
        assert ON_PYPI.search(text)
    assert not ON_PYPI.search("pip install edgenext_deploy-*.whl")


def test_the_command_names_an_extra_of_setup_cfg():
    words = install.install_command("export")
    assert words.endswith('python3 -m pip install ".[export]"') and "checkout" in words
    settings = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    named = [extra for path in texts() if path.suffix == ".py"
             for extra in re.findall(r"install_command\(['\"]([a-z]+)", path.read_text(encoding="utf-8"))]
    assert len(named) >= 4 and all("\n{} =\n".format(extra) in settings for extra in named)
