"""What is done to a frame that OpenCV gave: turning and scaling, NV12 too."""
from typing import Any, Optional, Tuple

import numpy as np

from edgenext_deploy.camera.opencv.pipelines import size_of


def turned(cv2: Any, image: np.ndarray, turn: int) -> np.ndarray:
    """Return a picture, uint8 `[H, W, C]`, turned clockwise by 0, 90, 180 or 270 degrees."""
    if not turn:
        return image
    done: np.ndarray = cv2.rotate(image, {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180,
                                          270: cv2.ROTATE_90_COUNTERCLOCKWISE}[turn])
    return done


def scaled(cv2: Any, image: np.ndarray, color: str, width: Optional[int], height: Optional[int]) -> np.ndarray:
    """Return a frame of the width and height that are meant, in pixels; one alone keeps the shape.

    Args:
        cv2: OpenCV.
        image: uint8 `[H, W, C]`, or NV12 `[H * 3 / 2, W]`.
        color: ``bgr`` or ``nv12``.
        width: asked for, None for none.
        height: asked for, None for none.
    """
    own = (int(image.shape[1]), int(image.shape[0]) * 2 // 3 if color == "nv12" else int(image.shape[0]))
    size = size_of(width, height, own)
    if size == own:
        return image
    if color != "nv12":
        return _resized(cv2, image, size)
    half = (size[0] // 2, size[1] // 2)
    pairs = _resized(cv2, image[own[1]:].reshape(own[1] // 2, own[0] // 2, 2), half)
    return np.concatenate([_resized(cv2, image[:own[1]], size), pairs.reshape(half[1], size[0])])


def _resized(cv2: Any, image: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    done: np.ndarray = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return done
