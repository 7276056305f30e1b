"""timm's own definitions, for the tests that compare with them and the script that writes golden data.

`requirements/timm.txt` installs timm, without its dependencies.
"""
from doubles.torchvision_double import torchvision_stands_in

# Every network that is in timm and here: timm's name by ours.
NAMES = {
    "xxs": "edgenext_xx_small", "xs": "edgenext_x_small", "s": "edgenext_small", "b": "edgenext_base",
    "s_rw": "edgenext_small_rw",
    **{name: name for name in (
        "mobilevit_xxs", "mobilevit_xs", "mobilevit_s", "mobilevitv2_050", "mobilevitv2_075", "mobilevitv2_100",
        "mobilevitv2_125", "mobilevitv2_150", "mobilevitv2_175", "mobilevitv2_200")},
}


def timm_model(variant, num_classes=1000):
    """Return timm's network in evaluation mode, with random weights, by our variant's name."""
    with torchvision_stands_in():
        import timm
    return timm.create_model(NAMES[variant], num_classes=num_classes).eval()
