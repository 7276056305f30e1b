"""``edgenext-export --deepstream`` and ``--serve``: files for programs of others, written after the export."""
import os
import shlex
from typing import Any, Callable, Dict, List, Optional

import click

from edgenext_deploy.errors import IncompatibleError, UsageError
from edgenext_deploy.export.limits import WHOLE_NUMBERS
from edgenext_deploy.files import sha256_of_bytes, sha256_of_file, write_files_atomically

Function = Callable[..., Any]
# What users are told to change: an address of a video, how long requests wait for each other.
_EDITED = ("config.pbtxt", ".nvinfer.txt", ".deepstream.txt")
_KINDS = ("triton", "triton-tensorrt")


def serving_options(function: Function) -> Function:
    """Add ``--deepstream``, ``--serve``, ``--repository`` and ``--max-batch``."""
    for option in (
            click.option("--max-batch", type=click.IntRange(2, WHOLE_NUMBERS["batch"][1]), metavar="N",
                         help="With --serve triton: the served graph takes 1 to N images, and Triton gathers requests "
                              "into batches. NAME.onnx stays a graph for one image."),
            click.option("--repository", metavar="DIR", help="Model repository that --serve writes to.  [default: a "
                         "folder 'models' next to the export]"),
            click.option("--serve", type=click.Choice(_KINDS),
                         help="Also write the model into a repository of NVIDIA's Triton: to run the ONNX file, or a "
                              "plan that is built there afterwards."),
            click.option("--deepstream", is_flag=True,
                         help="Also write the configuration of DeepStream's nvinfer and of deepstream-app, and labels; "
                              "refused where nvinfer would compute something else.")):
        function = option(function)
    return function


def require_serving_options(serve: Optional[str], repository: Optional[str], max_batch: Optional[int],
                            batch: int = 1) -> None:
    """Raise UsageError for options that only mean something together with others; before anything is exported.

    Args:
        serve: what ``--serve`` gives.
        repository: what ``--repository`` gives.
        max_batch: what ``--max-batch`` gives.
        batch: what ``--batch`` gives, where there is one.
    """
    if repository is not None and serve is None:
        raise UsageError("--repository is where --serve writes to, and --serve is missing", "add --serve triton")
    if max_batch is None:
        return
    if serve is None:
        raise UsageError("--max-batch is the largest batch that --serve triton gathers, and --serve is missing",
                         "add --serve triton")
    if serve != "triton":
        raise UsageError("--max-batch opens the batch of an ONNX file, and edgenext-build builds plans of one batch",
                         "use --serve triton, or --batch N in place of --max-batch and let the client fill it")
    if batch != 1:
        raise UsageError("--max-batch opens the batch of a graph for one image, and --batch asks for {}".format(batch),
                         "leave one of them out")


def write_serving_files(onnx_path: str, deepstream: bool, serve: Optional[str], repository: Optional[str],
                        max_batch: Optional[int] = None, force: bool = False) -> List[str]:
    """Write what was asked for beside an export; return lines that say what comes next.

    A configuration that is there and says something else is replaced with `force` alone.

    Raises:
        IncompatibleError: DeepStream or Triton cannot do what the manifest says, or the graph's batch cannot be open;
            the export stays.
        BadInputError: the graph or its manifest was changed after the export.
        UsageError: a file cannot be written, or is a configuration that says something else.
    """
    from edgenext_deploy.artifacts.engine_file import open_graph
    from edgenext_deploy.serving.deepstream import deepstream_files
    from edgenext_deploy.serving.triton import plan_path, triton_files

    folder, name = os.path.dirname(onnx_path), os.path.splitext(os.path.basename(onnx_path))[0]
    engine = open_graph(onnx_path)  # the pair that lies there: another export may have replaced it meanwhile
    manifest = engine.manifest()
    files: Dict[str, bytes] = {}
    lines = []
    try:
        if deepstream:
            made = deepstream_files(manifest, name)
            files.update((os.path.join(folder, file), content) for file, content in made.items())
            lines.append("deepstream-app -c {}  # where {}.plan was built".format(
                shlex.quote(name + ".deepstream.txt"), name))
        if serve is not None:
            place = repository or os.path.join(folder, "models")
            graph = engine.take_data()
            if max_batch is not None:
                from edgenext_deploy.export.open_batch_step import checked_open_batch

                opened = checked_open_batch(graph, manifest, max_batch)
                graph = opened.content
                lines.append("# batch 1 to {}: {}".format(max_batch, opened.words()))
            files.update((os.path.join(place, file), content) for file, content in triton_files(
                manifest, name, serve, graph, max_batch).items())
            if serve == "triton-tensorrt":
                lines.append("edgenext-build {} -o {}".format(
                    shlex.quote(onnx_path), shlex.quote(os.path.join(place, plan_path(name)))))
            lines.append("tritonserver --model-repository {}".format(shlex.quote(place)))
    except IncompatibleError as error:
        raise IncompatibleError("{} is exported; the other files are not written: {}".format(onnx_path, error.message),
                                error.fix) from error
    for path, content in files.items():
        if not force and path.endswith(_EDITED) and os.path.isfile(path) and (
                sha256_of_file(path) != sha256_of_bytes(content)):
            raise UsageError("{} is exported; the other files are not written: {} is there and says something else"
                             .format(onnx_path, path), "keep a copy of your changes, and replace it with --force")
    write_files_atomically(files)
    return lines
