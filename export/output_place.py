"""Where an export's files go: a folder, and the stem of their names. Loads under Python 3.6, as the command does."""
import os
from typing import Optional, Tuple

from edgenext_deploy.artifacts.manifest import ONNX_SUFFIX, PLAN_SUFFIXES
from edgenext_deploy.errors import UsageError
from edgenext_deploy.files import shown

# Bytes of a stem. File systems allow 255 for a name; endings and the random part of a temporary name come on top.
_LONGEST_STEM = 200


def place_of(output: str, name: Optional[str], variant: str) -> Tuple[str, str]:
    """Return the folder and the stem of an export's files.

    Args:
        output: a folder, or the graph's own path if it ends in ``.onnx``.
        name: the stem that was asked for; None takes that of the path, else the variant's name.
        variant: name of the variant.

    Raises:
        UsageError: a name that is no stem, two names, or the path of another kind of file.
    """
    if output.endswith(ONNX_SUFFIX):
        if name is not None:
            raise UsageError("--output {} names the file, and --name {} does too".format(shown(output), shown(name)),
                             "leave --name out, or give a folder with --output")
        folder, file = os.path.split(output)
        return folder or ".", _checked(file[:-len(ONNX_SUFFIX)])
    ending = os.path.splitext(output)[1]
    if ending.lower() in (ONNX_SUFFIX, ".json", *PLAN_SUFFIXES) and not os.path.isdir(output):
        raise UsageError("--output {} is no folder and no name of an ONNX file".format(shown(output)),
                         "give a folder, or a file that ends in {}".format(ONNX_SUFFIX))
    return output, variant if name is None else _checked(name)


def adopted_name(file: str, target: str) -> str:
    """Return the stem of the files that an adoption writes where nothing is said."""
    return "{}_{}".format(os.path.splitext(os.path.basename(file))[0], target)


def require_other_file(json_file: Optional[str], folder: str, stem: str) -> None:
    """Raise UsageError if ``--json-file`` would write over a file of this export; before it takes its time."""
    if json_file is None:
        return
    same_folder = os.path.realpath(os.path.dirname(json_file) or ".") == os.path.realpath(folder)
    if same_folder and os.path.basename(json_file).startswith(stem + "."):
        raise UsageError("--json-file would write over a file of this export: {}".format(shown(json_file)),
                         "give another file with --json-file")


def _checked(stem: str) -> str:
    """Return a stem if it is one."""
    if os.path.basename(stem) != stem or "\\" in stem:
        raise UsageError("--name {} has a folder in it".format(shown(stem)), "give the folder with --output")
    if stem.endswith(ONNX_SUFFIX):
        raise UsageError("--name {} has an ending; it is the files' name without one".format(shown(stem)),
                         "leave out the {}".format(ONNX_SUFFIX))
    if not stem or stem.startswith((".", "-")) or not stem.isprintable() or len(os.fsencode(stem)) > _LONGEST_STEM:
        raise UsageError("the name '{}' is empty, hidden, an option, unprintable or longer than {} bytes".format(
            shown(stem), _LONGEST_STEM), "try --name mine")
    return stem
