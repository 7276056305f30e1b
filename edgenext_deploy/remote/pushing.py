"""Files for a board: which belong together, and where they go."""
import os
from typing import List, NamedTuple, Sequence, Tuple

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.plan_sidecar import find_sidecar_path
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_file, sha256_of_bytes, sha256_of_file
from edgenext_deploy.runtime.table import is_engine_name

_FIX = "edgenext-export xxs makes an engine to copy"
_MOST_FILES = 10000


class Bundle(NamedTuple):
    """Files that lie together on the board, in a folder that is named by their content.

    Attributes:
        folder: below the folder there.
        files: name there, path here and digest of each; the first is the one that was asked for.
        name: what stands for the bundle, below `folder`: its first file, or the folder of photos.
    """

    folder: str
    files: Tuple[Tuple[str, str, str], ...]
    name: str

    @property
    def path(self) -> str:
        """Path of what was asked for, below the folder there."""
        return "{}/{}".format(self.folder, self.name)

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes of the files."""
        return sum(os.path.getsize(path) for _, path, _ in self.files)


def bundle_of(path: str) -> Bundle:
    """Return a file with what belongs to it, or a folder with all its files.

    An engine has its manifest with it, and a plan its sidecar.

    Raises:
        BadInputError: it is missing, empty or unreadable, or a folder of too many files.
    """
    if os.path.isdir(path):
        return _bundle(os.path.basename(os.path.abspath(path)), _files_below(path))
    require_file(path, "file", _FIX)
    files = [(os.path.basename(path), path)]
    if is_engine_name(path):
        manifest, sidecar = manifests.find_manifest_path(path), find_sidecar_path(path)
        if os.path.isfile(manifest):
            files.append((os.path.basename(manifests.manifest_path(path)), manifest))
        if not path.endswith(manifests.ONNX_SUFFIX) and os.path.isfile(sidecar):
            files.append((os.path.basename(path) + ".json", sidecar))
    return _bundle(os.path.basename(path), files)


def _files_below(folder: str) -> List[Tuple[str, str]]:
    top = os.path.dirname(os.path.abspath(folder))
    found = []
    for base, folders, names in os.walk(os.path.abspath(folder)):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(base, name)
            if os.path.isfile(path):
                found.append((os.path.relpath(path, top), path))
        if len(found) > _MOST_FILES:
            raise BadInputError("{} holds more than {} files".format(folder, _MOST_FILES), "copy it in parts")
    if not found:
        raise BadInputError("{} holds no files".format(folder))
    return found


def _bundle(name: str, files: Sequence[Tuple[str, str]]) -> Bundle:
    digests = tuple((there, path, sha256_of_file(path)) for there, path in files)
    key = sha256_of_bytes("".join("{}\0{}\0".format(there, digest) for there, _, digest in digests).encode(
        "utf-8", "surrogateescape"))[:16]
    return Bundle("files/" + key, digests, name)
