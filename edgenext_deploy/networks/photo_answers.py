"""Networks' answers to many photos: reading and preparing them overlaps with inference, and answers come in order.

Several threads read and prepare (`photo_batches`). The session runs one inference while the answers of the one before
are made and used by the caller, and the next photos are read.
"""
import collections
from typing import (
    TYPE_CHECKING,
    Any,
    Deque,
    Dict,
    Generator,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from edgenext_deploy.networks.base import Network
from edgenext_deploy.networks.stream import CallTimings
from edgenext_deploy.preprocess.photo_batches import PhotoReader, ReadPhoto, read_batches
from edgenext_deploy.runtime.options import available_threads

if TYPE_CHECKING:
    from edgenext_deploy.errors import BadInputError

_MOST_THREADS = 16


class AnsweredBatch(NamedTuple):
    """Photos that were read together, with the answers to those that can be used.

    Attributes:
        photos: in their order.
        answers: for each network, one answer for each photo without an error.
        timings: of each network; `preprocess_ms` holds the reading of the photos.
    """

    photos: List[ReadPhoto]
    answers: List[List[Any]]
    timings: List[CallTimings]


class _Job(NamedTuple):
    """One inference: of which batch, by which network, which of the usable photos; the last of its batch or not."""

    batch: AnsweredBatch
    number: int
    photos: List[ReadPhoto]
    last: bool


def answer_photos(networks: "Sequence[Network[Any]]", paths: Iterable[str], *,
                  known: "Optional[Mapping[str, BadInputError]]" = None, keep_images: bool = False,
                  fast_decode: bool = False, threads: Optional[int] = None) -> Generator[AnsweredBatch, None, None]:
    """Yield photos with every network's answers, as many at a time as the largest batch of a network.

    The answers are bit for bit those of ``network([photo, ...])``. Memory does not grow with the number of photos.

    Args:
        networks: open networks; each gets every photo.
        paths: of the photos.
        known: what is wrong with some of the paths already.
        keep_images: keep each decoded photo until the caller asks for the next batch.
        fast_decode: decode large JPEG photos smaller, see `preprocess.fast_decode`.
        threads: number of threads that read and prepare; by default one for each processor.

    Raises:
        VerificationError: a network returned what no network of its task can.
        CudaError: CUDA or TensorRT failed.
    """
    preprocessings = [network.manifest.preprocessing for network in networks]
    preparing = _preparing(networks)
    reader = PhotoReader(preprocessings, lambda image, size: tuple(
        networks[index].frames.prepare(image, size=size) for index in preparing.values()),
        known=known, keep_images=keep_images, fast=fast_decode)
    where = [list(preparing).index(_form(network)) for network in networks]
    batches = read_batches(reader, paths, max(network.batch for network in networks),
                           threads or min(available_threads(), _MOST_THREADS))
    under_way: Deque[_Job] = collections.deque()
    try:
        for job in _jobs(networks, batches):
            if job.photos:
                networks[job.number].start([photo.inputs[where[job.number]] for photo in job.photos])
            under_way.append(job)
            if len(under_way) > 1:
                yield from _finished(networks, under_way.popleft(), reader)
        while under_way:
            yield from _finished(networks, under_way.popleft(), reader)
    finally:
        batches.close()
        for job in under_way:
            networks[job.number].abandon(int(bool(job.photos)))


def _jobs(networks: "Sequence[Network[Any]]", batches: Iterable[List[ReadPhoto]]) -> Iterator[_Job]:
    for photos in batches:
        usable = [photo for photo in photos if photo.error is None]
        read_ms = sum(photo.preprocess_ms for photo in usable)
        batch = AnsweredBatch(photos, [[] for _ in networks], [CallTimings(read_ms, 0.0, 0.0) for _ in networks])
        parts = [(number, usable[first:first + network.batch]) for number, network in enumerate(networks)
                 for first in range(0, len(usable), network.batch)] or [(0, [])]
        for index, (number, part) in enumerate(parts, 1):
            yield _Job(batch, number, part, index == len(parts))


def _finished(networks: "Sequence[Network[Any]]", job: _Job, reader: PhotoReader) -> Iterator[AnsweredBatch]:
    """Wait for an inference; yield its batch if it was the last of it."""
    batch = job.batch
    if job.photos:
        found, spent = networks[job.number].finish([photo.size for photo in job.photos])
        batch.answers[job.number].extend(found)
        before = batch.timings[job.number]
        batch.timings[job.number] = CallTimings(*(sum(pair) for pair in zip(before, spent)))
    if job.last:
        yield batch
        reader.done(batch.photos)


def _form(network: "Network[Any]") -> Tuple[Any, ...]:
    """Return what decides a network's input: networks of one form share it."""
    taken = network.session.inputs[0]
    return network.manifest.preprocessing, taken.dtype, taken.shape[1:]


def _preparing(networks: "Sequence[Network[Any]]") -> Dict[Tuple[Any, ...], int]:
    """Return the first network of each form."""
    found: Dict[Tuple[Any, ...], int] = {}
    for index, network in enumerate(networks):
        found.setdefault(_form(network), index)
    return found
