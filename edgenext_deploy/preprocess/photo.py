"""From a photo or a camera frame to the network's input.

The steps are those of the usual evaluation transform (torchvision's Resize, CenterCrop, ToTensor, Normalize
on a PIL image): the photo is resized with one of Pillow's filters (antialiased, but for ``nearest``) and placed as
`preprocess.placement` says, pixels are divided by 255 and normalised per channel. Before normalisation they equal
torchvision's bit for bit; the exceptions are images for which Pillow 13 resizes columns before rows, as no release
before did (`scale_and_crop` keeps to the older order): some that are more than twice as tall as wide, and with
another fit than ``crop`` many tall ones.

A photo with an EXIF orientation is turned upright first, opened from a path or by Pillow, as ``cv2.imread`` does it;
torchvision's ImageFolder does not. Greyscale, palette, CMYK and transparent photos
become RGB the way Pillow's ``convert("RGB")`` does it: transparency is dropped, not blended.

This is the exact way, for photos. `edgenext_deploy.preprocess.prepare` is the fast one for a camera's frames.
"""
import contextlib
import errno
import os
import struct
from typing import IO, TYPE_CHECKING, Callable, Iterator, Optional, Sequence, Tuple, Union

import numpy as np

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.errors import BadInputError, UsageError
from edgenext_deploy.files import open_regular, require_file, shown
from edgenext_deploy.preprocess import photo_limits
from edgenext_deploy.preprocess.orientation import orientation_of, upright
from edgenext_deploy.preprocess.photo_fix import PHOTO_FIX, PHOTO_FORMATS, missing_photo_fix, unreadable_photo_fix
from edgenext_deploy.preprocess.pillow_warnings import no_warnings
from edgenext_deploy.preprocess.pixel_formats import frame_layout, nv12_to_rgb
from edgenext_deploy.preprocess.placement import place
from edgenext_deploy.preprocess.possible import CHANNEL_ORDERS, INTERPOLATIONS, require_possible

if TYPE_CHECKING:
    from PIL import Image

    Source = Union[str, "os.PathLike[str]", Image.Image, np.ndarray]
    Size = Tuple[int, int]

# What Pillow goes by too.
_JPEG = b"\xff\xd8\xff"


def preprocess(source: "Source", preprocessing: Preprocessing, color: str = "bgr",
               size: "Optional[Size]" = None) -> np.ndarray:
    """Return the network input for one photo or frame.

    Args:
        source: path of a photo, a PIL image, or a camera frame; see `pixels.frame_layout` for its shapes.
        preprocessing: the manifest's.
        color: of a camera frame: ``bgr`` (OpenCV's), ``rgb`` or ``nv12``; photos and PIL images know their own.
        size: width and height of a photo that was decoded smaller; see `fast_decode`.

    Returns:
        float32 `[1, 3, height, width]`, in the manifest's channel order.

    Raises:
        BadInputError: the photo cannot be read, or the manifest's preprocessing is impossible.
        UsageError: a frame of another shape or dtype, or an unknown `color`.
    """
    image = scale_and_crop(to_image(source, color), preprocessing, size)
    pixels = np.asarray(image).transpose(2, 0, 1)[np.newaxis]
    return normalise(pixels, preprocessing)


def normalise(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return pixels as the network takes them: `(x / 255 - mean) / std` per channel.

    With ``preprocessing.folded`` the graph does this itself, and the pixels are only converted. One
    multiplication and one addition in float32 for each value, so every machine gets the same bits.

    Args:
        images: uint8 `[B, 3, H, W]`, RGB.
        preprocessing: the manifest's.

    Returns:
        float32 `[B, 3, H, W]` in the manifest's channel order, C-contiguous.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise UsageError("pixels must be uint8 [B, 3, H, W], found {} {}".format(
            images.dtype.name, list(images.shape)))
    factors = scale_and_offset(preprocessing)
    result = np.empty(images.shape, dtype=np.float32)
    for index, color in enumerate(CHANNEL_ORDERS[preprocessing.channel_order]):
        plane, (scale, offset) = result[:, index], factors[color]
        # dtype is spelled out because numpy 1 would pick float16 for uint8 times a small scalar.
        np.multiply(images[:, color], scale, out=plane, dtype=np.float32)
        np.add(plane, offset, out=plane, dtype=np.float32)
    return result


def scale_and_offset(preprocessing: Preprocessing) -> Tuple[Tuple[np.float32, np.float32], ...]:
    """Return for R, G and B what a grey level (0..255) is multiplied by, and what is added, in float32.

    Raises:
        BadInputError: the manifest's preprocessing is impossible.
    """
    require_possible(preprocessing)
    if preprocessing.folded:
        return ((np.float32(1.0), np.float32(0.0)),) * 3
    return tuple((np.float32(1.0 / (255.0 * std)), np.float32(-mean / std))
                 for mean, std in zip(preprocessing.mean, preprocessing.std))


def scale_and_crop(image: "Image.Image", preprocessing: Preprocessing, size: "Optional[Size]" = None) -> "Image.Image":
    """Return what the network sees of an RGB image: resized, and cropped or with a border, at the input's size.

    Args:
        image: the photo.
        preprocessing: the manifest's.
        size: width and height of the photo that `image` is a smaller copy of; by default its own.
    """
    from PIL import Image

    placed, kind = place(*(size or image.size), preprocessing), INTERPOLATIONS[preprocessing.interpolation]
    left, top = max(placed.left, 0), max(placed.top, 0)
    width = placed.columns.stop - placed.columns.start
    right, bottom = left + width, top + placed.rows.stop - placed.rows.start
    # Pillow up to 12 resizes rows first and columns second, with 8-bit pixels in between; 13 turns that
    # round for many tall images. Asking for one pass at a time gives the same pixels on every release, and
    # cropping in between saves work. `resize(box=...)` would save more, but is held in single precision,
    # which changes some pixels.
    rows = image.resize((placed.width, image.height), kind).crop((left, 0, right, image.height))
    shown = rows.resize((width, placed.height), kind).crop((0, top, width, bottom))
    if shown.size == (preprocessing.width, preprocessing.height):
        return shown
    picture = Image.new("RGB", (preprocessing.width, preprocessing.height), tuple(preprocessing.pad_color))
    picture.paste(shown, (placed.columns.start, placed.rows.start))
    return picture


def to_image(source: "Source", color: str = "bgr") -> "Image.Image":
    """Return an RGB PIL image of a path, a PIL image or a camera frame; see `preprocess`."""
    from PIL import Image

    if isinstance(source, np.ndarray):
        return _from_frame(source, color)
    if isinstance(source, Image.Image):
        return _to_rgb(source, "image")
    if isinstance(source, (str, os.PathLike)):
        return load_photo(os.fspath(source))
    raise UsageError("an image must be a path, a PIL image or a numpy array, found {}".format(
        type(source).__name__))


def photo_decoder() -> str:
    """Return what decodes photos: pixels of a JPEG depend on the library in Pillow, and so do answers a little."""
    from PIL import __version__, features

    turbo = features.version("libjpeg_turbo")
    return "Pillow {}, {}".format(__version__, "libjpeg-turbo {}".format(turbo) if turbo else "libjpeg {}".format(
        features.version("jpg")))


def load_photo(path: str) -> "Image.Image":
    """Read and decode a photo as RGB, upright; see `read_photo`."""
    return read_photo(path)[0]


def read_photo(path: str, opened: "Optional[Callable[[Image.Image], None]]" = None) -> "Tuple[Image.Image, int]":
    """Read and decode a photo as RGB, upright; also return the EXIF orientation that it had, 1 to 8.

    Args:
        path: of the file.
        opened: called with the photo before anything of it is decoded.

    Raises:
        BadInputError: missing, empty, truncated, too large, or not a photo in one of `PHOTO_FORMATS`.
        MemoryError, OSError: see `is_of_the_system`.
    """
    from PIL import UnidentifiedImageError

    require_file(path, "image", lambda: PHOTO_FIX if os.path.lexists(path) else missing_photo_fix(path))
    with no_warnings():
        try:
            with open_photo(path, PHOTO_FORMATS) as image:
                if opened is not None:
                    opened(image)
                orientation = orientation_of(image)  # a PNG is decoded for it: it may stand behind the pixels
                return _to_rgb(image, path), orientation
        except BadInputError:
            raise
        except UnidentifiedImageError as error:
            raise BadInputError("{} is not an image that can be read".format(shown(path)),
                                unreadable_photo_fix(path, "")) from error
        except Exception as error:  # on hostile bytes, Pillow's decoders raise nearly anything
            if is_of_the_system(error):
                raise
            reason = shown(str(error)) or type(error).__name__
            raise BadInputError("image {} cannot be decoded: {}".format(path, reason),
                                unreadable_photo_fix(path, reason)) from error


@contextlib.contextmanager
def open_photo(path: str, formats: Sequence[str]) -> "Iterator[Image.Image]":
    """Open a picture of which nothing is decoded yet, and which can be decoded in bounded time and memory.

    Args:
        path: of the file.
        formats: names of Pillow's formats that are taken.

    Raises:
        BadInputError: no regular file, or its header asks for too much; see `photo_limits`.
        Exception: nearly anything, for bytes that are no picture.
    """
    try:
        # By its name, Pillow would map an uncompressed TIFF file into memory, and turn that wrongly.
        with open_regular(path, "image", PHOTO_FIX) as stream, _opened(
                photo_limits.for_pillow(stream), formats) as image:
            photo_limits.require_within(image, stream)
            with photo_limits.quiet_libtiff(image):
                yield image
    except photo_limits.PhotoLimitError as error:
        raise BadInputError("image {} {}".format(path, error),
                            "scale it down, or save it anew as PNG or JPEG") from error


def is_of_the_system(error: Exception) -> bool:
    """Return whether a photo could not be read because the system gave no more memory or files: it is not broken."""
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE))


def _opened(stream: IO[bytes], formats: Sequence[str]) -> "Image.Image":
    """Return what `Image.open` gives, which imports the readers of five formats first: a JPEG needs one of them."""
    from PIL import Image

    is_jpeg = stream.read(len(_JPEG)) == _JPEG
    stream.seek(0)
    if is_jpeg and "JPEG" in formats:
        from PIL.JpegImagePlugin import jpeg_factory

        with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):  # `Image.open` has words for these
            return jpeg_factory(stream)
        stream.seek(0)
    return Image.open(stream, formats=list(formats))


def _to_rgb(image: "Image.Image", name: str) -> "Image.Image":
    """Return the picture as RGB, upright."""
    if image.mode.startswith("I") or image.mode == "F":
        # convert("RGB") would clip these to 255, which makes most of such a picture white.
        raise BadInputError(
            "{} has 16-bit or floating-point pixels (mode {}), 8 bits per channel expected".format(
                name, image.mode), "convert it to 8 bits first")
    return upright(image, "RGB")


def _from_frame(frame: np.ndarray, color: str) -> "Image.Image":
    from PIL import Image

    layout = frame_layout(frame, color)
    if layout.format.name == "nv12":
        return Image.fromarray(nv12_to_rgb(frame))
    size, data = (layout.width, layout.height), frame.tobytes()
    if layout.format.name == "grey":
        return Image.frombytes("L", size, data).convert("RGB")
    # Pillow reorders while it unpacks, so BGR costs no extra pass.
    return Image.frombytes("RGB", size, data, "raw", layout.format.name.upper(), 0, 1)
