"""Networks' answers to many photos: those of one call each, in order, whatever comes late or breaks."""
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import PIL
import pytest
from paths import DATA, ROOT, TINY
from PIL import Image

from edgenext_deploy import Classifier, RuntimeOptions
from edgenext_deploy.errors import VerificationError
from edgenext_deploy.machine.versions import version_numbers
from edgenext_deploy.networks.photo_answers import answer_photos
from edgenext_deploy.preprocess import photo_batches

pytest.importorskip("onnxruntime")

BATCH, PIXELS = (os.path.join(DATA, name + ".onnx") for name in ("tiny_batch", "tiny_pixels"))
ONE_THREAD = RuntimeOptions(threads=1)
# The TIFF decoder of an old Pillow has holes, and is not used.
TIFF = "tif" if version_numbers(PIL.__version__) >= (10, 3) else "ppm"


@pytest.fixture
def photos(tmp_path):
    """Return paths of photos of several sizes and formats, and of what is none."""
    chance = np.random.RandomState(0)
    paths = []
    for index in range(17):
        path = str(tmp_path / "{:02d}.{}".format(index, ("png", "jpg", TIFF, "bmp")[index % 4]))
        pixels = chance.randint(0, 256, (20 + 5 * index, 130 - 6 * index, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
        paths.append(path)
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    return [*paths[:5], str(tmp_path / "broken.jpg"), str(tmp_path / "missing.png"), *paths[5:]]


def answers_of(batches, network=0):
    found = {}
    for batch in batches:
        answers = iter(batch.answers[network])
        for photo in batch.photos:
            found[photo.path] = str(photo.error) if photo.error is not None else next(answers)
        assert next(answers, None) is None
    return found


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("engines", [[TINY], [BATCH], [BATCH, TINY, PIXELS]])
def test_answers_are_bit_for_bit_those_of_a_call(photos, engines, threads):
    with contextlib.ExitStack() as stack:
        networks = [stack.enter_context(Classifier(engine, runtime=ONE_THREAD)) for engine in engines]
        batches = list(answer_photos(networks, photos, threads=threads))
        assert [photo.path for batch in batches for photo in batch.photos] == photos
        for index, network in enumerate(networks):
            found = answers_of(batches, index)
            assert "broken.jpg" in found[photos[5]] and "missing.png" in found[photos[6]]
            usable = [path for path in photos if path not in photos[5:7]]
            assert [found[path] for path in usable] == network(usable)
        assert all(batch.timings[0].inference_ms > 0 and batch.timings[0].preprocess_ms > 0
                   for batch in batches if batch.answers[0])
        assert max(len(batch.answers[0]) for batch in batches) == max(network.batch for network in networks)


def test_networks_of_one_input_form_share_its_preparation(photos, monkeypatch):
    with Classifier(TINY, runtime=ONE_THREAD) as one, Classifier(TINY, runtime=ONE_THREAD) as other:
        monkeypatch.setattr(other.frames, "prepare", None)
        assert answers_of(answer_photos([one, other], photos[:3]), 1) == {path: one(path) for path in photos[:3]}


def test_an_answer_that_cannot_be_comes_at_its_turn_and_ends_the_threads(photos, monkeypatch):
    before = threading.active_count()
    with Classifier(TINY, runtime=ONE_THREAD) as classify:
        answer, seen = classify._answer, []

        def fails(outputs, size):
            if len(seen) == 3:
                raise VerificationError("not finite")
            return answer(outputs, size)

        monkeypatch.setattr(classify, "_answer", fails)
        with pytest.raises(VerificationError):
            for batch in answer_photos([classify], photos[:5]):
                seen += batch.photos
        assert [photo.path for photo in seen] == photos[:3]
        monkeypatch.undo()
        # Nothing of the abandoned run comes later.
        assert answers_of(answer_photos([classify], photos[3:5])) == {path: classify(path) for path in photos[3:5]}
    assert threading.active_count() == before


@pytest.mark.parametrize("keep", [False, True])
def test_decoded_pixels_are_bounded(photos, monkeypatch, keep):
    """Without a limit, 4 threads would decode 4 photos and keep those that are ready."""
    monkeypatch.setattr(photo_batches, "MAX_PIXELS", 4000)
    most = []
    give = photo_batches.PhotoReader._give

    def look(reader, pixels):
        most.append(reader._pixels)
        give(reader, pixels)

    monkeypatch.setattr(photo_batches.PhotoReader, "_give", look)
    with Classifier(TINY, runtime=ONE_THREAD) as classify:
        usable = photos[:5] + photos[7:]
        batches = answer_photos([classify], usable, keep_images=keep, threads=4)
        kept = [(batch.photos[0].image is not None, batch.photos[0].path) for batch in batches]
    assert kept == [(keep, path) for path in usable]
    # Of kept ones: that which is shown, that which is inferred, and that whose turn it is, whatever the limit.
    largest = max(photo.size[0] * photo.size[1] for photo in map(Image.open, usable))
    assert max(most) <= (3 * largest if keep else 4000 + largest)


def test_large_photos_are_given_back_to_the_system(photos, tmp_path):
    before, large = Image.core.get_block_size(), str(tmp_path / "large.png")
    Image.new("1", (4097, 4096)).save(large)
    try:
        Image.core.set_block_size(1 << 20)
        with Classifier(TINY, runtime=ONE_THREAD) as classify:
            list(answer_photos([classify], photos[:1]))
            assert Image.core.get_block_size() == 1 << 20
            list(answer_photos([classify], [large]))
        assert Image.core.get_block_size() > 32 << 20  # what glibc may keep
    finally:
        Image.core.set_block_size(before)


def test_no_warning_of_pillow_and_the_filters_are_as_before(tmp_path):
    """Two threads that each kept and restored the filters would leave "ignore" behind."""
    before = list(warnings.filters)
    paths = []
    for index in range(8):
        path = str(tmp_path / "{}.png".format(index))
        Image.new("P", (60, 60)).save(path, transparency=b"\x00\x01")
        paths.append(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Classifier(TINY, runtime=ONE_THREAD) as classify:
            assert len(list(answer_photos([classify], paths, threads=4))) == 8
    assert [str(warning.message) for warning in caught] == [] and list(warnings.filters) == before


def test_a_line_of_ours_is_not_lost_while_libtiffs_are(monkeypatch, capfd):
    from edgenext_deploy.foreign_text import VisibleStream
    from edgenext_deploy.standard_error import muted

    entered, written = threading.Event(), threading.Event()

    def mute():
        with muted():
            os.write(2, b"libtiff's\n")
            entered.set()
            assert not written.wait(0.2)

    thread = threading.Thread(target=mute)
    thread.start()
    entered.wait(5)
    with open(2, "w", buffering=1, closefd=False) as stream:
        VisibleStream(stream).write("ours\n")
    written.set()
    thread.join()
    assert capfd.readouterr().err == "ours\n"


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_control_c_ends_at_once(tmp_path, number, code):
    """Each photo takes three seconds, in a call that no signal interrupts."""
    for index in range(40):
        Image.new("RGB", (8, 8)).save(str(tmp_path / "{:02d}.png".format(index)))
    script = ("import threading, time, sys\nfrom edgenext_deploy.preprocess import photo_batches\n"
              "read = photo_batches.read_photo\n"
              "def slow(path, opened):\n    print('reading', flush=True)\n    time.sleep(3.0)\n"
              "    return read(path, opened)\n"
              "photo_batches.read_photo = slow\nfrom edgenext_deploy.run.cli import main\nmain()\n")
    process = subprocess.Popen([sys.executable, "-c", script, TINY, str(tmp_path), "--threads", "1"], cwd=ROOT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert "tiny" in process.stdout.readline()
    process.stdout.readline()
    start = time.perf_counter()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code and "Traceback" not in err and time.perf_counter() - start < 2.5
