"""A manifest's preprocessing in one line."""
from edgenext_deploy.artifacts.manifest import Preprocessing

# What the usual networks have, which needs no word.
_USUAL = ("bicubic", "rgb")


def in_words(preprocessing: Preprocessing) -> str:
    """Return normalisation and fit, and interpolation and channel order where they are not the usual ones."""
    parts = (["pixels 0..255 (the graph normalises)"] if preprocessing.folded else
             ["mean {}".format(list(preprocessing.mean)), "std {}".format(list(preprocessing.std))])
    parts.append({"crop": "crop {:.6g}".format(preprocessing.crop_pct), "stretch": "stretched",
                  "letterbox": "letterbox in {}".format(list(preprocessing.pad_color))}[preprocessing.fit])
    others = (preprocessing.interpolation, preprocessing.channel_order)
    return ", ".join(parts + [word for word in others if word not in _USUAL])
