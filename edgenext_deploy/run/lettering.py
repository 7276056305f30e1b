"""Letters for pictures: the font that has the letters of the labels, and lines of text as masks.

Pillow's own font has no letters beyond ASCII. Where the labels need more, the fonts of this system are looked through.
"""
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Optional, Set

from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import require_file

if TYPE_CHECKING:
    from PIL import Image

_BITMAP_HEIGHT = 11
_FOLDERS = ("~/.local/share/fonts", "~/.fonts", "/usr/local/share/fonts", "/usr/share/fonts", "/System/Library/Fonts",
            "/Library/Fonts", "C:\\Windows\\Fonts")
_ENDINGS = (".ttf", ".otf", ".ttc")
# Upright ones of an even weight are looked at first; a desktop may have thousands.
_PLAIN = ("sans-regular", "sanscjk-regular", "dejavusans.", "regular")
_MOST_FONTS = 500
_PROBE_HEIGHT = 16
# What a line has besides a name. Some fonts have the letters of one script and no figures.
_FIGURES = "0123456789.%"
# Characters that no font has: what is drawn for them is the font's sign for a missing letter.
_NOBODY_HAS = ("\uffff", "\U0010ffff")
_FONT_FIX = "pass a TrueType or OpenType font with --font"


class Lettering:
    """A font, by the letters that it has.

    Args:
        path: font file; None for Pillow's own font, which has ASCII only (Latin-1 before Pillow 10.1).

    Raises:
        BadInputError: the file is no font that Pillow reads.
    """

    def __init__(self, path: Optional[str] = None) -> None:
        self.path = path
        self._missing: Optional[Set[bytes]] = None
        self._known: Dict[str, bool] = {}
        self._fonts: Dict[int, Any] = {}
        if path is not None:
            require_file(path, "font", _FONT_FIX)
            try:
                self._missing = {self._drawn(character) for character in _NOBODY_HAS}
            except Exception as error:  # nearly anything, for bytes that are no font
                raise BadInputError("{} is not a font that can be read: {}".format(path, error), _FONT_FIX) from error

    def lacks(self, text: Iterable[str]) -> List[str]:
        """Return the characters that the font cannot draw, each once, in order."""
        return sorted({character for character in text if not (_is_mark(character) or self._has(character))})

    def mask(self, text: str, height: int) -> "Image.Image":
        """Return a line as a mask, mode L; ``?`` stands for a letter that the font lacks.

        Args:
            text: the line.
            height: of the letters, in pixels.
        """
        from PIL import Image, ImageDraw

        font = self._font(height)
        plain = "".join(character if self._has(character) else "?"
                        for character in text if not _is_mark(character)) or " "
        left, top, right, bottom = _text_box(font, plain)
        mask = Image.new("L", (max(1, right - left), max(1, bottom - top)))
        ImageDraw.Draw(mask).text((-left, -top), plain, fill=255, font=font)
        if _is_outline(font):
            return mask
        factor = max(1, round(height / _BITMAP_HEIGHT))
        return mask.resize((mask.width * factor, mask.height * factor), 0)

    def _has(self, character: str) -> bool:
        if character not in self._known:
            self._known[character] = self._look_up(character)
        return self._known[character]

    def _look_up(self, character: str) -> bool:
        if not character.isprintable():
            return False
        if self._missing is not None:
            return character == " " or self._drawn(character) not in self._missing
        return ord(character) < (128 if _is_outline(self._font(_PROBE_HEIGHT)) else 256)

    def _drawn(self, character: str) -> bytes:
        return bytes(self._font(_PROBE_HEIGHT).getmask(character))

    def _font(self, height: int) -> Any:
        if height not in self._fonts:
            self._fonts[height] = self._load(height)
        return self._fonts[height]

    def _load(self, height: int) -> Any:
        from PIL import ImageFont

        if self.path is not None:
            return ImageFont.truetype(self.path, height)
        try:
            return ImageFont.load_default(size=height)
        except (TypeError, ImportError):  # Pillow before 10.1, or built without FreeType
            return ImageFont.load_default()


OWN = Lettering()


def lettering_for(labels: Iterable[str]) -> Lettering:
    """Return letters for these labels: Pillow's own, else those of the system's font that has the most of them."""
    letters = {character for label in labels for character in label}.union(_FIGURES)
    best, fewest = OWN, len(OWN.lacks(letters))
    for path in _system_fonts() if fewest else ():
        try:
            found = Lettering(path)
        except BadInputError:
            continue
        lacking = len(found.lacks(letters))
        if lacking < fewest:
            best, fewest = found, lacking
        if not fewest:
            break
    return best


def _system_fonts() -> Iterator[str]:
    """Yield paths of font files, upright ones of an even weight first."""
    found = []
    for folder in _FOLDERS if sys.platform != "win32" else _FOLDERS[-1:]:
        for where, _, names in os.walk(os.path.expanduser(folder)):
            found += [os.path.join(where, name) for name in sorted(names) if name.lower().endswith(_ENDINGS)]
    rank = {path: next((index for index, word in enumerate(_PLAIN) if word in os.path.basename(path).lower()),
                       len(_PLAIN)) for path in found}
    yield from sorted(found, key=lambda path: (rank[path], path))[:_MOST_FONTS]


def _is_mark(character: str) -> bool:
    """Return whether a character only steers others, such as the joiner in Persian names; it is left out."""
    return unicodedata.category(character) == "Cf"


def _is_outline(font: Any) -> bool:
    return hasattr(font, "getmetrics")


def _text_box(font: Any, text: str) -> List[int]:
    """Return left, top, right and bottom of a line, as high as the tallest letter, so lines have one height."""
    if _is_outline(font):
        ascent, descent = font.getmetrics()
        return [0, 0, int(font.getlength(text)) + 1, ascent + descent]
    width, height = font.getmask(text).size
    return [0, 0, width, height]
