"""The far side's modules as one script, for a Python that has nothing of this package."""
import functools
import json
import os

_ROOM = "edgenext_deploy.remote.link.far_side"
# In the order of their imports.
_MODULES = ("wire", "folder", "copies", "steps", "jobs", "requests")
# What `python3 -c` gets: no character that a shell of any kind would take for its own within double quotes. ssh sets no
# locale, and Python 3.6 then takes file names for ASCII: it is started once more with one that has all letters.
BOOT = ("import os,sys;u='C.UTF-8';e=os.environ;"
        "sys.getfilesystemencoding()=='utf-8' or e.get('LC_ALL')==u or (e.update(LC_ALL=u),"
        "os.execv(sys.executable,open('/proc/self/cmdline','rb').read().split(bytes(1))[:-1]));"
        "b=sys.stdin.buffer;exec(b.read(int(b.readline())))")
_LOADER = """
import json, sys, types
for name, text in json.loads({sources!r}):
    module = types.ModuleType(name)
    module.__path__ = []
    sys.modules[name] = module
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules[{room!r} + ".requests"].main(json.loads({opening!r}))
"""


def script(nonce: str, folder: str) -> bytes:
    """Return the script, in ASCII, behind a line with its number of bytes, as `BOOT` reads it.

    Args:
        nonce: what its first answer holds.
        folder: see `link.ssh.Route`.
    """
    opening = json.dumps({"nonce": nonce, "folder": folder})
    text = _LOADER.format(sources=_sources(), room=_ROOM, opening=opening).encode("ascii")
    return str(len(text)).encode("ascii") + b"\n" + text


@functools.lru_cache(maxsize=1)
def _sources() -> str:
    parts = _ROOM.split(".")
    sources = [(".".join(parts[:end]), "") for end in range(1, len(parts) + 1)]
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), parts[-1])
    for name in _MODULES:
        with open(os.path.join(here, name + ".py"), encoding="utf-8") as stream:
            sources.append(("{}.{}".format(_ROOM, name), stream.read()))
    return json.dumps(sources)
