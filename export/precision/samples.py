"""The inputs that the drift analysis runs: the user's photos, or bundled ones with synthetic extremes."""
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.data import path_of
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.export.checks.parity import PHOTOS
from edgenext_deploy.preprocess.photo import normalise, preprocess
from edgenext_deploy.preprocess.photo_files import is_photo

# Photos taken from a folder. The analysis takes seconds for each input.
MOST_PHOTOS = 32


def drift_samples(
    folder: str | os.PathLike[str] | None, shape: tuple[int, ...], preprocessing: Preprocessing,
    warn: Callable[[str], None] = lambda message: None,
) -> list[np.ndarray]:
    """Return network inputs `[B, 3, H, W]` float32.

    Args:
        folder: photos, in subfolders too. If there are more than `MOST_PHOTOS`, evenly spaced ones are taken, in the
            order of their names. None takes the bundled photos and synthetic extremes.
        shape: the network's input shape. B images make one input; the last input repeats its last image.
        preprocessing: the manifest's.
        warn: called with a sentence for every file that is skipped.

    Raises:
        BadInputError: no such folder, or not one photo in it can be read.
    """
    if folder is None:
        images = [preprocess(path_of("photos", name), preprocessing) for name in PHOTOS]
        images += [normalise(image[None], preprocessing) for image in extremes(shape[2], shape[3]).values()]
    else:
        images = _read(Path(folder), preprocessing, warn)
    images += [images[-1]] * (-len(images) % shape[0])
    return [np.ascontiguousarray(np.concatenate(images[start:start + shape[0]]))
            for start in range(0, len(images), shape[0])]


def extremes(height: int, width: int) -> dict[str, np.ndarray]:
    """Return pixels `[3, H, W]` uint8 that photos do not have, by name."""
    shape = (3, height, width)
    rows, columns = np.mgrid[0:height, 0:width]
    point = np.zeros(shape, np.uint8)
    point[:, height // 2, width // 2] = 255
    noise = np.random.default_rng(0).integers(0, 2, shape, dtype=np.uint8) * np.uint8(255)
    return {
        "black": np.zeros(shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "checkerboard": np.broadcast_to(((rows + columns) % 2 * 255).astype(np.uint8), shape),
        "noise": noise,
        "point": point,
    }


def _read(folder: Path, preprocessing: Preprocessing, warn: Callable[[str], None]) -> list[np.ndarray]:
    fix = "give a folder with photos, or leave --samples out for the bundled ones"
    if not folder.is_dir():
        raise BadInputError(f"--samples: no folder {folder}", fix)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    # Other files must not take the places of photos: with annotations, every second file is not a photo.
    files = [path for path in files if is_photo(path.name)] or files
    if len(files) > MOST_PHOTOS:
        warn(f"{folder} has {len(files)} files; {MOST_PHOTOS} of them are analysed")
        files = [files[index * len(files) // MOST_PHOTOS] for index in range(MOST_PHOTOS)]
    images = []
    for path in files:
        try:
            images.append(preprocess(str(path), preprocessing))
        except BadInputError as error:
            warn(f"skipped: {error.message}")
    if not images:
        raise BadInputError(f"--samples: no readable photo found in {folder} ({len(files)} files)", fix)
    return images
