"""Pictures for `train_icons.py`: drawings of 32 things from free icon sets, distorted, on invented backgrounds."""
import hashlib
import io
import json
import math
import re
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

SIDE = 96  # pixels, the network's input
GLYPH = 96  # pixels, a drawing before it is distorted

# Package of @iconify-json: version, whether its drawings have colours of their own, share of the training pictures.
# The Fluent sets are never trained on: a held-out style.
SETS = {
    "noto": ("1.2.9", True), "noto-v1": ("1.2.5", True), "twemoji": ("1.2.5", True), "emojione": ("1.2.3", True),
    "fxemoji": ("1.2.2", True), "streamline-emojis": ("1.2.4", True), "mdi": ("1.2.3", False), "ph": ("1.2.2", False),
    "tabler": ("1.2.41", False), "fa6-solid": ("1.2.4", False), "game-icons": ("1.2.4", False),
    "icon-park": ("1.2.4", True), "material-symbols": ("1.2.98", False)}
HELD_OUT = {"fluent-emoji": ("1.2.7", True), "fluent-emoji-flat": ("1.2.6", True)}

# Label: names of its drawings; hyphens, numbers and words for a style of drawing are not compared.
CLASSES = {
    "cat": "cat cat-face black-cat cat-side", "dog": "dog dog-face poodle guide-dog service-dog dog-side labrador-head",
    "cow": "cow cow-face ox",
    "elephant": "elephant elephant-head",
    "rabbit": "rabbit rabbit-face bunny bunny-side rabbit-head",
    "frog": "frog frog-face", "fish": "fish tropical-fish", "penguin": "penguin",
    "butterfly": "butterfly", "turtle": "turtle tortoise sea-turtle",
    "bee": "honeybee bee",
    "car": "automobile oncoming-automobile car car-side sport-utility-vehicle car-profile city-car taxi oncoming-taxi",
    "bus": "bus oncoming-bus minibus bus-side bus-simple",
    "bicycle": "bicycle bike", "train": "train locomotive steam-locomotive high-speed-train train-front bullet-train "
    "train-simple tram", "airplane": "airplane plane small-airplane airplane-tilt airplane-side",
    "helicopter": "helicopter", "rocket": "rocket rocket-launch", "sailboat": "sailboat sail-boat",
    "apple": "apple red-apple green-apple shiny-apple food-apple apple-whole", "banana": "banana bananas",
    "pizza": "pizza pizza-slice slice-of-pizza local-pizza",
    "hamburger": "hamburger burger", "ice cream": "ice-cream soft-ice-cream icecream softicecream ice-cream-cone",
    "house": "house house-with-garden home house-building house-simple house-chimney",
    "tree": "tree deciduous-tree evergreen-tree evergreen pine-tree tree-evergreen trees pine",
    "flower": "blossom tulip sunflower hibiscus cherry-blossom flower flower-tulip rose white-flower",
    "mushroom": "mushroom mushrooms brown-mushroom", "umbrella": "umbrella umbrella-with-rain-drops open-umbrella "
    "closed-umbrella umbrella-on-ground", "key": "key old-key vpn-key",
    "guitar": "guitar guitar-acoustic guitar-electric",
    "scissors": "scissors scissors-cutting black-scissors"}
STYLES = re.compile(r"-(fill|filled|bold|duotone|light|thin|outline|outlined|rounded|sharp|variant|alt|one|two|\d+)$")


def icon_set(name: str, version: str, folder: Path) -> dict[str, str]:
    """Return an icon set, name to SVG; npm fetches it on first use."""
    path = folder / f"iconify-json-{name}-{version}.tgz"
    if not path.exists():
        subprocess.run(["npm", "pack", "--silent", f"@iconify-json/{name}@{version}"], cwd=folder, check=True)
    with tarfile.open(path) as archive:
        content = json.load(archive.extractfile("package/icons.json"))
    box = {"left": 0, "top": 0, "width": content.get("width", 16), "height": content.get("height", 16)}
    boxes = {key: " ".join(str(icon.get(edge, box[edge])) for edge in box) for key, icon in content["icons"].items()}
    return {key: f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox='
                 f'"{boxes[key]}">{icon["body"]}</svg>' for key, icon in content["icons"].items()}


def plain(name: str) -> str:
    """Return an icon's name without the style of the drawing and without hyphens."""
    while STYLES.search(name):
        name = STYLES.sub("", name)
    return name.replace("-", "")


def drawings(sets: dict[str, tuple[str, bool]], folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Return RGBA uint8 `[N, 4, GLYPH, GLYPH]`, classes int64 `[N]`, and bool `[N]`: has colours of its own."""
    import resvg_py

    class_of = {plain(word): index for index, words in enumerate(CLASSES.values()) for word in words.split()}
    found: dict[str, tuple[np.ndarray, int, bool]] = {}
    for name, (version, colored) in sets.items():
        count = 0
        for key, svg in sorted(icon_set(name, version, folder).items()):
            if plain(key) not in class_of:
                continue
            png = resvg_py.svg_to_bytes(svg_string=svg.replace("currentColor", "#000"), width=GLYPH, height=GLYPH)
            image = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
            pixels = np.zeros((GLYPH, GLYPH, 4), np.uint8)
            left, top = (GLYPH - image.width) // 2, (GLYPH - image.height) // 2
            pixels[top:top + image.height, left:left + image.width] = np.asarray(image)
            digest = hashlib.sha256(pixels.tobytes()).hexdigest()
            count += digest not in found
            found.setdefault(digest, (pixels, class_of[plain(key)], colored))
        print(f"{name} {version}: {count} drawings", flush=True)
    images, classes, colored_flags = zip(*found.values())
    missing = set(range(len(CLASSES))) - set(classes)
    if missing:
        print("no drawing of", ", ".join(list(CLASSES)[index] for index in sorted(missing)))
    return (torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(classes),
            torch.tensor(colored_flags))


class Painter:
    """Distorts drawings and paints them on invented backgrounds; everything follows from the seed."""

    def __init__(self, seed: int, strength: float = 1.0) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.strength = strength

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self.generator)

    def chance(self, count: int, share: float) -> Tensor:
        return (self.uniform(count, 1, 1, 1) < share).float()

    def smooth(self, count: int, channels: int, cells: int) -> Tensor:
        """Return a random map that varies over about `cells` cells, `[count, channels, SIDE, SIDE]` in 0..1."""
        return F.interpolate(self.uniform(count, channels, cells, cells), (SIDE, SIDE), mode="bicubic").clamp(0, 1)

    def backgrounds(self, count: int) -> Tensor:
        """Return plain colours, slopes, clouds and stripes."""
        plain_color, other = self.uniform(count, 3, 1, 1), self.uniform(count, 3, 1, 1)
        coarse = torch.where(self.chance(count, 0.5) > 0, self.smooth(count, 1, 2), self.smooth(count, 1, 6))
        angle, step = self.uniform(count, 1, 1, 1, high=math.pi), self.uniform(count, 1, 1, 1, low=6, high=40)
        y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
        stripes = 0.5 + 0.5 * torch.sin(step * (x * angle.cos() + y * angle.sin()))
        mix = torch.where(self.chance(count, 0.2) > 0, stripes, coarse) * self.chance(count, 0.65 * self.strength)
        image = plain_color + mix * (other - plain_color)
        grain = self.smooth(count, 3, 24) - 0.5
        image = image + grain * self.uniform(count, 1, 1, 1, high=0.6) * self.chance(count, 0.5 * self.strength)
        white = self.chance(count, 0.15)
        return (image * (1 - white) + white).clamp(0, 1)

    def grids(self, count: int) -> Tensor:
        """Return sampling grids: turned, mirrored, stretched, sheared, moved, and bent by a smooth field."""
        turn = self.uniform(count, low=-0.45, high=0.45) * self.strength
        flip = torch.where(self.uniform(count) < 0.5, -1.0, 1.0)
        scale = self.uniform(count, low=1.0, high=1 + 0.8 * self.strength)
        aspect = 1 + self.uniform(count, low=-0.25, high=0.25) * self.strength
        shear = self.uniform(count, low=-0.25, high=0.25) * self.strength
        cos, sin = turn.cos() * scale, turn.sin() * scale
        room = scale - 0.95
        shift_x, shift_y = (self.uniform(count, low=-1, high=1) * room for _ in range(2))
        matrix = torch.stack([torch.stack([flip * cos * aspect, flip * (shear - sin), shift_x], 1),
                              torch.stack([sin, cos / aspect, shift_y], 1)], 1)
        grid = F.affine_grid(matrix, [count, 1, SIDE, SIDE], align_corners=False)
        bend = (self.smooth(count, 2, 4) - 0.5) * self.uniform(count, 1, 1, 1, high=0.35) * self.strength
        return grid + bend.permute(0, 2, 3, 1)

    def paint(self, rgba: Tensor, colored: Tensor) -> Tensor:
        """Return pictures `[B, 3, SIDE, SIDE]` in 0..1 of uint8 drawings `[B, 4, GLYPH, GLYPH]`."""
        count = len(rgba)
        image = rgba.float() / 255
        back = self.backgrounds(count)
        # Drawings without colours of their own get a random one, light on dark or dark on light.
        dark = (back.mean((1, 2, 3), keepdim=True) > 0.5).float()
        ink = self.uniform(count, 3, 1, 1) * 0.45 + (1 - dark) * 0.55
        own = colored.float().view(-1, 1, 1, 1)
        color = own * image[:, :3] + (1 - own) * ink
        sampled = F.grid_sample(torch.cat([color * image[:, 3:], image[:, 3:]], 1), self.grids(count),
                                align_corners=False)
        picture = sampled[:, :3] + back * (1 - sampled[:, 3:])
        gray = picture.mean(1, keepdim=True)
        saturation = self.uniform(count, 1, 1, 1, low=0.5, high=1.4) * (1 - self.chance(count, 0.1))
        picture = gray + saturation * (picture - gray)
        tint = 1 + self.uniform(count, 3, 1, 1, low=-0.3, high=0.3) * self.strength
        picture = (picture - 0.5) * self.uniform(count, 1, 1, 1, low=0.65, high=1.2) * tint + 0.5
        picture = picture + self.uniform(count, 1, 1, 1, low=-0.15, high=0.15)
        soft = F.avg_pool2d(F.pad(picture, [1] * 4, mode="replicate"), 3, 1)
        blur = self.chance(count, 0.3) * self.uniform(count, 1, 1, 1)
        picture = picture + blur * (soft - picture)
        noise = torch.randn(picture.shape, generator=self.generator)
        return (picture + noise * self.uniform(count, 1, 1, 1, high=0.06) * self.chance(count, 0.5)).clamp(0, 1)
