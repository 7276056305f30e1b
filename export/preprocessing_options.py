"""What is said of the way from a photo to the input: by options, by a checkpoint, by the published network."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class PreprocessingOptions:
    """Values for `artifacts.manifest.Preprocessing`, which explains them; None where nothing is said.

    Attributes:
        image_size: height and width of the input, in pixels.
        mean: per channel in units of the 0..1 range, RGB order.
        std: as `mean`.
        interpolation: ``bicubic``, ``bilinear``, ``nearest`` or ``lanczos``.
        fit: ``crop``, ``stretch`` or ``letterbox``.
        crop_pct: share of the resized photo that is cropped.
        resize_size: shorter side of the resized photo in pixels, before the crop; says the same as `crop_pct`.
        channel_order: of the network's input, ``rgb`` or ``bgr``.
        pad_color: 0..255 in RGB order, of a letterbox.
    """

    image_size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    fit: str | None = None
    crop_pct: float | None = None
    resize_size: int | None = None
    channel_order: str | None = None
    pad_color: tuple[int, ...] | None = None

    def over(self, other: "PreprocessingOptions") -> "PreprocessingOptions":
        """Return these values, and those of `other` where nothing is said here."""
        said = {name: value for name, value in vars(self).items() if value is not None}
        for name, same in (("crop_pct", "resize_size"), ("resize_size", "crop_pct")):
            if name in said:
                said.setdefault(same, None)
        return dataclasses.replace(other, **said)
