"""What a whole stream showed: for each label, in how many frames, and how surely."""
from typing import Dict, Iterable, List, NamedTuple


class Seen(NamedTuple):
    """A label that an answer gives to a frame.

    Attributes:
        index: index of the class.
        label: its name.
        value: probability, score, or share of the pixels, from 0 to 1.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    label: str
    value: float


class LabelShare(NamedTuple):
    """A label over all frames.

    Attributes:
        index: index of the class.
        label: its name.
        frames: number of frames that got it.
        share: of all frames, from 0 to 1.
        mean: of its values in those frames.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    label: str
    frames: int
    share: float
    mean: float


class Tally:
    """Adds up the answers of a stream; its size is that of the list of labels, however long the stream."""

    def __init__(self) -> None:
        self._frames = 0
        self._labels: Dict[int, str] = {}
        self._counts: Dict[int, int] = {}
        self._sums: Dict[int, float] = {}

    def add(self, seen: Iterable[Seen]) -> None:
        """Add a frame; of a label that it has several times, the largest value counts."""
        largest: Dict[int, Seen] = {}
        for item in seen:
            if item.index not in largest or item.value > largest[item.index].value:
                largest[item.index] = item
        self._frames += 1
        for index, item in largest.items():
            self._labels[index] = item.label
            self._counts[index] = self._counts.get(index, 0) + 1
            self._sums[index] = self._sums.get(index, 0.0) + item.value

    def shares(self) -> List[LabelShare]:
        """Return the labels, those of the most frames first."""
        found = [LabelShare(index, self._labels[index], count, count / self._frames, self._sums[index] / count)
                 for index, count in self._counts.items()]
        return sorted(found, key=lambda item: (-item.frames, -item.mean, item.index))
