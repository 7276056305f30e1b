"""EdgeNeXt's official keys as timm names them, written out from timm's own conversion of checkpoints."""
import re


def to_timm(key):
    key = key.replace("downsample_layers.0.", "stem.")
    key = re.sub(r"^stages\.(\d)\.(\d+)", r"stages.\1.blocks.\2", key)
    key = re.sub(r"^downsample_layers\.(\d)\.(\d)", r"stages.\1.downsample.\2", key)
    key = key.replace("dwconv", "conv_dw").replace("pwconv", "mlp.fc").replace("head.", "head.fc.")
    return "head." + key if key.startswith("norm.") else key
