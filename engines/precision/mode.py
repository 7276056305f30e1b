"""Which of the three ways of building fits a graph, a request and a TensorRT release.

``flag``: an FP32 graph, the FP16 flag, and FP32 pins (up to TensorRT 10). ``typed``: a graph whose own dtypes
say FP16 (TensorRT 10 and later, and the only way from 11 on). ``fp32``: an FP32 graph as it is.
"""
import os
import re
import shlex

from edgenext_deploy.artifacts.manifest import Manifest, is_adopted
from edgenext_deploy.errors import IncompatibleError
from edgenext_deploy.targets import TARGETS
from edgenext_deploy.tensorrt_api.builder_api import Release

# In the manifest's words about the weights.
_SEED = re.compile(r"\(seed (\d+)\)")
_STATE = re.compile(r" \((.+?), [^,;]+ layout")
FLAG, TYPED, FP32 = "flag", "typed", "fp32"


def choose_mode(manifest: Manifest, precision: str, release: Release, target: str) -> str:
    """Return ``flag``, ``typed`` or ``fp32``.

    Args:
        manifest: of the graph.
        precision: ``fp16`` or ``fp32``, what was asked for.
        release: of TensorRT.
        target: where the plan will run; used in the advice.

    Raises:
        IncompatibleError: this release cannot build this graph in this precision; the fix is the export command.
    """
    typed_graph = manifest.precision.requested == "fp16" and manifest.precision.mode == "typed"
    if typed_graph and precision == "fp32":
        raise IncompatibleError(
            "{} is typed in FP16, so it cannot become an FP32 plan".format(manifest.graph.file),
            "export it without --fp16: " + export_command(manifest, target, fp16=False))
    if typed_graph:
        if not release.has_typed_networks:
            raise IncompatibleError(
                "{} is typed in FP16, and {} takes FP16 from a builder flag instead: it misreads FP16 constants".format(
                    manifest.graph.file, release.title),
                export_command(manifest, _target_for(FLAG, target, release), fp16=True))
        return TYPED
    if precision == "fp32":
        return FP32
    if not release.has_fp16_flag:
        raise IncompatibleError(
            "{} is an FP32 graph, and {} has no FP16 flag: it computes in the types of the graph".format(
                manifest.graph.file, release.title),
            export_command(manifest, _target_for(TYPED, target, release), fp16=True))
    return FLAG


def export_command(manifest: Manifest, target: str, fp16: bool) -> str:
    """Return the command that exports the same network for a target, in place of the graph that does not fit."""
    source = manifest.weights.source
    if is_adopted(manifest):
        words = ["edgenext-export", "adopt", source.split(" (")[0], "--task", manifest.task, "--target", target]
        words += ["--name", os.path.splitext(manifest.graph.file)[0]]
        return " ".join(map(shlex.quote, words + (["--fp16"] if fp16 else []) + ["--force"]))
    words = ["edgenext-export", manifest.variant, "--target", target]
    seed = _SEED.search(source) if manifest.weights.random else None
    if seed is not None and seed.group(1) != "0":
        words += ["--seed", seed.group(1)]
    if not manifest.weights.random and not source.startswith("bundled "):
        words += ["--weights", source.split(" (")[0]]
        state = _STATE.search(source) if "(fits too)" in source else None
        words += [] if state is None else ["--state", state.group(1)]
    words += ["--image-size", "{}x{}".format(manifest.preprocessing.height, manifest.preprocessing.width)]
    batch, stem = manifest.inputs[0].shape[0], os.path.splitext(manifest.graph.file)[0]
    words += ["--batch", str(batch)] if batch != 1 else []
    words += ["--name", stem] if stem != manifest.variant else []
    return " ".join(map(shlex.quote, words + (["--fp16"] if fp16 else []) + ["--force"]))


def _target_for(mode: str, target: str, release: Release) -> str:
    """Return a target whose ``--fp16`` export this release builds: the given one if it can be."""
    if target in TARGETS and TARGETS[target].precision_mode == mode and TARGETS[target].builder == release.name:
        return target
    version = release.version.split(".")
    names = (".".join(version[:2]), version[0] + ".x")
    fitting = [known for known in TARGETS.values() if known.builder == release.name and known.precision_mode == mode]
    return next((known for known in fitting if set(names) & set(known.tensorrt)), fitting[0]).name
