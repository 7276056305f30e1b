"""Options that people look for and that are called otherwise here, or are not there for a reason.

Loads under Python 3.6, as the command does.
"""
import os
import shlex
from typing import Dict, Sequence, Tuple

from edgenext_deploy.errors import UsageError

_FORMS = "docs/graph_forms.md"
_PROBABILITIES = ("is called --outputs probabilities here",
                  "use --outputs probabilities, with --activation sigmoid for classes that do not exclude each other")
_BYTES = ("is called --input here", "use --input uint8 for [B,3,H,W], or --input uint8-nhwc for [B,H,W,3]")
_FEATURES = ("is called --outputs features here", "use --outputs features")
_NO_DYNAMIC = ("is not there: an engine is tuned, proved and tested for one batch, and one for 1 to N would be tuned "
               "for one of them all the same")
_DYNAMIC = (_NO_DYNAMIC, "export each batch that you need, such as --batch 4 --name xxs_4: what runs it fills up the "
                         "last one; for a server that gathers requests, --serve triton --max-batch 8; "
                         "{}".format(_FORMS))
_NO_INT8 = ("is not there: a Jetson Nano's GPU (sm_53) has no INT8 arithmetic, and FP16 is its fastest; Xavier and "
            "later have it, but INT8 needs calibration data and an accuracy check of its own")
_INT8 = (_NO_INT8, "use --fp16; {} says more for each board".format(_FORMS))
# What is wrong with the option, and what to do.
ANSWERS: Dict[str, Tuple[str, str]] = {
    "--softmax": _PROBABILITIES, "--sigmoid": _PROBABILITIES, "--scores-in-graph": _PROBABILITIES,
    "--uint8-input": _BYTES, "--uint8": _BYTES, "--nhwc": _BYTES,
    "--features": _FEATURES, "--embedding": _FEATURES,
    "--dynamic-batch": _DYNAMIC, "--dynamic": _DYNAMIC, "--dynamic-axes": _DYNAMIC,
    "--int8": _INT8,
    "--half": ("is called --fp16 here", "use --fp16"),
    "--fp32": ("is what an export does without --fp16", "leave it out"),
    "--opset": ("is not there: the target decides the opset", "choose a --target; an export prints its opset"),
}


def answer_wanted(words: Sequence[str]) -> None:
    """Raise UsageError with the way out if one of a command line's words is such an option."""
    for word in words:
        option = word.split("=")[0]
        if option in ANSWERS:
            reason, fix = ANSWERS[option]
            raise UsageError("{} {}".format(option, reason), fix)


def answer_file(variant: str) -> None:
    """Raise UsageError with the way out if what stands for a variant is a file's name."""
    ending = os.path.splitext(variant)[1].lower()
    if ending == ".onnx":
        raise UsageError("{} is an ONNX file, and the name of a network is expected".format(variant),
                         "edgenext-export adopt {}".format(shlex.quote(variant)))
    if ending in (".pth", ".pt", ".ckpt", ".safetensors"):
        raise UsageError("{} is a weights file, and the name of its network is expected".format(variant),
                         "edgenext-export xxs --weights {}; edgenext-models lists the networks".format(
                             shlex.quote(variant)))
