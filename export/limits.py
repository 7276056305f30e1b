"""What the options of an export may be: the command's help shows it, `ExportRequest.resolve` checks it.

Loads under Python 3.6, as the command does.
"""
from edgenext_deploy.formulations import AXES
from edgenext_deploy.preprocess.possible import CHANNEL_ORDERS, FITS, INTERPOLATIONS

CHOICES = {
    "interpolation": tuple(sorted(INTERPOLATIONS)),
    "fit": FITS,
    "channel_order": tuple(sorted(CHANNEL_ORDERS, reverse=True)),
    "activation": ("softmax", "sigmoid"),
    "layout": tuple(AXES["layout"]),
    "padding": tuple(AXES["padding"]),
    "precision_mode": ("flag", "typed"),
    "io": ("fp32", "fp16"),
    "nms": ("host", "plugin"),
    "outputs": ("logits", "probabilities", "features"),
    "input": ("float", "uint8", "uint8-nhwc"),
}
# Of an adopted network: what it does, and how a detector gives its boxes.
TASKS = ("classification", "detection", "segmentation", "features")
BOX_FORMATS = ("ltrb", "cxcywh")
BOX_UNITS = ("part", "pixel")
# Smallest and largest value, both allowed.
WHOLE_NUMBERS = {"batch": (1, 256), "num_classes": (1, 100000), "resize_size": (32, 40960),
                 "seed": (0, (1 << 32) - 1)}
FRACTIONS = {"crop_pct": (0.1, 1.0), "threshold": (0.0, 1.0), "tolerance": (1e-5, 0.5)}
# Of the sides of the input, in pixels. Every network here halves its maps five times.
STRIDE = 32
LARGEST_SIDE = 4096
# Relative error of the largest value of an output that --auto-pin allows where nothing else is asked for.
TOLERANCE = 0.01
# The same for a formulation, with every sum in FP16: beyond it, it is out.
FORMULATION_TOLERANCE = 0.02
