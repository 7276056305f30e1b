import numpy as np
import pytest

from edgenext_deploy.artifacts.golden import digest, golden_batch, golden_image


@pytest.mark.parametrize("seed, height, width, expected", [
    (0, 256, 256, "606afcb2d767ef58eaf093abcbcbc2a8d8bdecdda7b59d79755ce8fb78414cdf"),
    (1, 256, 256, "fa96c330eeeca004edebb43e8b2fed7a9080153aa641a84f8a10481f1b329863"),
    (7, 224, 320, "5f6777cea364d7d36d9aa27bee63bc8650a5706432dc090c39194ddeb42240a4"),
    (12345, 32, 32, "8b29a7b8076fd5b9bcec4fd53fc6d45a6feb744179c25e9415b672ada52a8e53")])
def test_image_is_the_same_to_the_bit_on_every_numpy_and_machine(seed, height, width, expected):
    image = golden_image(seed, height, width)
    assert image.dtype == np.uint8 and image.shape == (height, width, 3)
    assert digest(image) == expected


def test_image_looks_like_a_picture():
    image = golden_image(0, 256, 256).astype(np.float64)
    assert image.min() < 40 and image.max() > 200 and image.std() > 30
    for first, second in ((0, 1), (0, 2), (1, 2)):  # the channels are not copies of each other
        assert abs(np.corrcoef(image[..., first].ravel(), image[..., second].ravel())[0, 1]) < 0.9
    # low frequencies and noise: neighbours are alike, but not equal
    step = np.abs(np.diff(image, axis=1))
    assert 5 < step.mean() < image.std() and (step > 0).mean() > 0.9


def test_noise_has_no_visible_period():
    noise = golden_image(0, 64, 64).astype(np.float64) - golden_image(0, 64, 64).mean()
    rows = noise[:, :, 0] - noise[:, :, 0].mean(axis=1, keepdims=True)
    steps = np.diff(rows, axis=1)
    for shift in range(2, 20):
        assert abs(np.corrcoef(steps[:, :-shift].ravel(), steps[:, shift:].ravel())[0, 1]) < 0.5


def test_batch_is_images_of_consecutive_seeds():
    batch = golden_batch(3, (2, 3, 40, 24))
    assert batch.shape == (2, 3, 40, 24) and batch.dtype == np.uint8
    for index in range(2):
        assert np.array_equal(batch[index], golden_image(3 + index, 40, 24).transpose(2, 0, 1))
    assert not np.array_equal(batch[0], batch[1])


def test_digest_is_of_little_endian_bytes_in_c_order():
    values = np.arange(6, dtype="<f4").reshape(2, 3)
    expected = digest(values)
    assert digest(values.astype(">f4")) == expected
    assert digest(np.asfortranarray(values)) == expected
    assert digest(values.T) != expected and digest(values.astype("<f8")) != expected
    # sha256 of the 24 bytes 00000000 0000803f 00000040 00004040 00008040 0000a040
    assert expected == "e2c0a71510b5394df7773b63fb5f54372b84c3564e67811bde7d665be227976d"
