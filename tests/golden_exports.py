"""Checkpoints with the golden parameters, and their exports."""
import json
from pathlib import Path

import exports
import numpy as np
import paths
import torch
from golden_parameters import parameters
from timm_layout import to_timm

DATA = Path(paths.DATA)
OFFICIAL = json.loads((DATA / "official_shapes.json").read_text())
SHAPES = {**OFFICIAL,
          **json.loads((DATA / "mobilevit_shapes.json").read_text()),
          **json.loads((DATA / "timm_shapes.json").read_text())}
GOLDEN = {**np.load(DATA / "official_given.npz"), **np.load(DATA / "mobilevit_given.npz"),
          **np.load(DATA / "timm_given.npz")}


def checkpoint(variant, folder, layout="official"):
    state = {key: torch.from_numpy(np.array(value)) for key, value in parameters(SHAPES[variant]).items()}
    if layout == "timm" and variant in OFFICIAL:
        state = {to_timm(key): value for key, value in state.items()}
    path = folder / f"{variant}_{layout}.pth"
    torch.save({"state_dict": state} if layout == "timm" else {"model_ema": state, "model": {}}, path)
    return str(path)


def export_golden(variant, folder, layout="official", **options):
    weights = checkpoint(variant, folder, layout)
    return exports.export(variant, folder, weights=weights, **options)
