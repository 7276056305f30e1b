"""Whether a graph with an open batch computes for each image what the graph for one image computes."""
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

from edgenext_deploy.artifacts.golden import golden_batch
from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.errors import EdgeNextError, IncompatibleError
from edgenext_deploy.export import tasks
from edgenext_deploy.export.checks.parity import Run, compare, runtime_function
from edgenext_deploy.export.checks.rtx import RtxReport, build_with_rtx, sm_for
from edgenext_deploy.export.open_batch import CANNOT, LEAVE_OUT, open_batch
from edgenext_deploy.export.parity_step import PARITY_TOLERANCE, TYPED_TOLERANCE
from edgenext_deploy.export.verdict.judge import analyse, judge_every_release
from edgenext_deploy.preprocess.input_form import image_shape
from edgenext_deploy.preprocess.photo import normalise
from edgenext_deploy.scratch import scratch_folder
from edgenext_deploy.targets import Target, get_target


@dataclasses.dataclass(frozen=True)
class OpenGraph:
    """A graph with an open batch, as it was checked.

    Attributes:
        content: the ONNX file.
        batches: numbers of images that were compared with as many runs of the graph for one image.
        max_relative_error: of these, of the largest value of an output.
        refused: releases of TensorRT that run the graph for one image and not this one, by the table.
        rtx: what TensorRT-RTX said, which builds for 1 to the largest number of images where the target has a GPU.
    """

    content: bytes
    batches: tuple[int, ...]
    max_relative_error: float
    refused: tuple[str, ...]
    rtx: RtxReport

    def words(self) -> str:
        """Return the results as one line."""
        counts = f"{', '.join(map(str, self.batches[:-1]))} and {self.batches[-1]}"
        told = f"{counts} images in ONNX Runtime give what each alone gives, to {self.max_relative_error:.2g}"
        table = (f"TensorRT {', '.join(self.refused)} would not take it" if self.refused
                 else "TensorRT's table has nothing more against it")
        return f"{told}; {table}; TensorRT-RTX {self._said_by_rtx()}"

    def _said_by_rtx(self) -> str:
        if self.rtx.ok:
            built = f" and builds it for 1 to {self.batches[-1]}" if self.rtx.builds else ""
            return f"{self.rtx.version} parses it{built}"
        if self.rtx.answered and not self.rtx.timed_out:
            return f"{self.rtx.version} does not {'build' if self.rtx.parsed else 'parse'} it: {self.rtx.reason}"
        return f"said nothing: {self.rtx.reason}"


def checked_open_batch(content: bytes, manifest: Manifest, most: int) -> OpenGraph:
    """Return a graph for one image with its batch open, once it was seen to compute the same.

    Args:
        content: the ONNX file of the graph for one image.
        manifest: of that graph.
        most: the largest number of images.

    Raises:
        IncompatibleError: the graph is for several images, or with several its answers are not those of each alone.
    """
    shape = image_shape(manifest.inputs[0])
    if shape[0] != 1:
        raise IncompatibleError(f"an open batch is made of a graph for one image, and this one is for {shape[0]}",
                                "export without --batch")
    fixed = onnx.load_from_string(content)
    opened = open_batch(fixed)
    batches = tuple(sorted({1, most // 2 + 1, most}))
    error = _compared(fixed, manifest, batches)
    supported = [release for release, verdict in manifest.verdicts.items() if verdict["supported"]]
    judged = judge_every_release(analyse(opened))
    refused = tuple(release for release in supported if release in judged and not judged[release].supported)
    written = opened.SerializeToString(deterministic=True)
    return OpenGraph(written, batches, error, refused, _asked(written, get_target(manifest.target), most))


def _compared(fixed: onnx.ModelProto, manifest: Manifest, batches: tuple[int, ...]) -> float:
    """Return the largest error, relative to the largest value of an output; logits behind a class map count too."""
    typed = manifest.precision.mode == "typed"
    observed = tasks.observed(fixed)
    try:
        one, several = runtime_function(observed), runtime_function(open_batch(observed))
        parity = compare(image_by_image(one), several, _images(manifest, batches),
                         TYPED_TOLERANCE if typed else PARITY_TOLERANCE,
                         tasks.least_agreement(manifest.task, typed), decides=manifest.task != "features")
    except EdgeNextError as error:
        raise IncompatibleError(f"{CANNOT}: several images do not give what each alone gives: {error.message}",
                                LEAVE_OUT) from error
    return parity.max_relative_error


def image_by_image(one: Run) -> Run:
    """Return a function of several images that runs `one`, a function of one image, for each."""
    def run(images: np.ndarray) -> tuple[np.ndarray, ...]:
        answers = [one(images[index:index + 1]) for index in range(len(images))]
        return tuple(np.concatenate(outputs) for outputs in zip(*answers))

    return run


def _images(manifest: Manifest, batches: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield a batch of each size, the first image of each the golden one, and no two images the same."""
    shape = image_shape(manifest.inputs[0])
    for batch in batches:
        yield normalise(golden_batch(manifest.golden.seed, (batch, *shape[1:])), manifest.preprocessing)


def _asked(content: bytes, target: Target, most: int) -> RtxReport:
    with scratch_folder() as folder:
        path = Path(folder, "open.onnx")
        path.write_bytes(content)
        return build_with_rtx(str(path), (sm_for(target),) if target.compute_capability else (), largest=most)
