"""Options that people look for and that are called otherwise here, or are not there for a reason.

Loads under Python 3.6, as the command does.
"""
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
}


def answer_wanted(words: Sequence[str]) -> None:
    """Raise UsageError with the way out if one of a command line's words is such an option."""
    for word in words:
        option = word.split("=")[0]
        if option in ANSWERS:
            reason, fix = ANSWERS[option]
            raise UsageError("{} {}".format(option, reason), fix)
