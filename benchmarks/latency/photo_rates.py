"""How many photos a second: one stage after the other, all of them at once, and each stage alone."""
import itertools
import os
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from edgenext_deploy.benchmarks.statistics import Interval, median, median_interval
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.networks.base import Network
from edgenext_deploy.networks.photo_answers import answer_photos
from edgenext_deploy.preprocess.photo_batches import PhotoReader, read_batches
from edgenext_deploy.runtime.options import available_threads

# What is measured, by its name in JSON.
TITLES = {"in_turns": "one stage after the other", "pipelined": "pipelined, as edgenext-run and edgenext-eval do it",
          "reading": "reading and preparing alone", "inference": "inference alone"}


class PhotoRates(NamedTuple):
    """Photos a second, over rounds in which all ways took turns.

    Attributes:
        photos: number of photos of a round.
        rounds: number of rounds.
        threads: that read photos.
        rates: of each key of `TITLES`, photos a second in each round.
        session: what ran the engine while photos were read.
    """

    photos: int
    rounds: int
    threads: int
    rates: Dict[str, List[float]]
    session: Dict[str, Any]

    def median(self, way: str) -> float:
        """Return the median of a way."""
        return median(np.array(self.rates[way]))

    def ratios(self, other: str) -> List[float]:
        """Return how many times the rate of another way the pipelined one has, round by round."""
        return [one / before for one, before in zip(self.rates["pipelined"], self.rates[other])]

    def ratio(self, other: str) -> float:
        """Return the median of the `ratios`."""
        return median(np.array(self.ratios(other)))

    def slowest(self) -> str:
        """Return the stage that is slower alone."""
        return min(("reading", "inference"), key=self.median)


def interval_of(values: Sequence[float]) -> Optional[Interval]:
    """Return the 95 % interval of a median, None for too few values."""
    return median_interval(np.array(values))


def photo_rates(network: "Network[Any]", alone: "Network[Any]", photos: Sequence[str], *, rounds: int = 5,
                threads: Optional[int] = None, fast_decode: bool = False,
                progress: Optional[Callable[[float, str], None]] = None) -> PhotoRates:
    """Measure; each round runs every way once over all photos.

    Args:
        network: the network, open for many photos; it runs while they are read.
        alone: the same, open as for one photo: it has the processor for itself.
        photos: paths; all must be readable.
        rounds: number of rounds; one more before them is not counted.
        threads: see `answer_photos`.
        fast_decode: see `answer_photos`; for all ways but ``in_turns``.
        progress: called with the share that is done, and what is measured.

    Raises:
        BadInputError: a photo cannot be read.
    """
    count = threads or available_threads()
    preprocessing = network.manifest.preprocessing

    def batches() -> Any:
        reader = PhotoReader([preprocessing], lambda image, size: (network.frames.prepare(image, size=size),),
                             fast=fast_decode)
        return read_batches(reader, photos, network.batch, count)

    prepared = [[photo.inputs[0] for photo in batch] for batch in _readable(batches())]

    def infer() -> None:
        for number, images in enumerate(prepared):
            alone.start(images)
            if number:
                alone.session.collect()
        alone.session.collect()

    ways: Dict[str, Callable[[], Any]] = {
        "in_turns": lambda: [alone(list(photos[first:first + network.batch]))
                             for first in range(0, len(photos), network.batch)],
        "pipelined": lambda: _spend(answer_photos([network], photos, threads=count, fast_decode=fast_decode)),
        "reading": lambda: _spend(batches()), "inference": infer}
    rates: Dict[str, List[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        # Back and forth, so that what grows or falls meanwhile affects all alike.
        for index, way in enumerate(list(ways)[::(-1) ** number]):
            if progress is not None:
                progress((number + index / len(ways)) / (rounds + 1), TITLES[way])
            start = time.perf_counter()
            ways[way]()
            if number:
                rates[way].append(len(photos) / (time.perf_counter() - start))
    return PhotoRates(len(photos), rounds, count, rates, network.session.describe())


def _readable(batches: Any) -> List[Any]:
    found = list(batches)
    for photo in itertools.chain.from_iterable(found):
        if photo.error is not None:
            raise BadInputError("{} cannot be measured: {}".format(os.path.basename(photo.path), photo.error.message),
                                "remove it from the folder")
    return found


def _spend(items: Any) -> None:
    for _ in items:
        pass
