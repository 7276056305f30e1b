"""Write timm_shapes.json and timm_given.npz: what timm's own definitions answer, with the recipe's parameters.

Needs timm (requirements/timm.txt). See README.md.

    PYTHONPATH=tests python tests/data/make_timm_golden.py [FOLDER]
"""
import json
import pathlib
import sys

import golden_parameters
import numpy as np
import torch
from timm_itself import timm_model

# 224 has an odd map in the last stage.
SIZES = {"s_rw": (256, 224), "mobilevitv2_050": (256, 224), "mobilevitv2_100": (256,), "mobilevitv2_200": (256,)}


def main(folder):
    shapes, given = {}, {}
    for name, sizes in SIZES.items():
        model = timm_model(name)
        shapes[name] = {key: list(value.shape) for key, value in model.state_dict().items()}
        state = golden_parameters.parameters(shapes[name])
        model.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
        for size in sizes:
            with torch.no_grad():
                logits = model.double()(torch.from_numpy(golden_parameters.image(size, size)).double())
            given[f"{name}_{size}x{size}"] = logits.float().numpy()
    (folder / "timm_shapes.json").write_text(json.dumps(shapes), encoding="ascii")
    np.savez_compressed(folder / "timm_given.npz", **given)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
