"""Anchors against levels computed by hand, and the box code against its inverse and a loop."""
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgenext_deploy.models.definitions.anchors import anchors, decode, encode, level_anchors  # noqa: E402
from edgenext_deploy.models.definitions.config import SSDLITE_FIVE_LEVELS, SSDLiteConfig  # noqa: E402
from edgenext_deploy.models.factory import create_model  # noqa: E402

CONFIG = SSDLiteConfig()
# linspace(0.1, 1.05, 7)
SCALES = [0.1, 0.25833333, 0.41666667, 0.575, 0.73333333, 0.89166667, 1.05]


def test_a_level_by_hand():
    # Level 1 on a map of 1 row and 2 columns: centres (0.25, 0.5) and (0.75, 0.5).
    small, large = 0.25833333, math.sqrt(0.25833333 * 0.41666667)
    shapes = [(small, small), (large, large),
              (0.36533850, 0.18266925), (0.18266925, 0.36533850),   # small * and / sqrt(2)
              (0.44744646, 0.14914882), (0.14914882, 0.44744646)]   # small * and / sqrt(3)
    expected = [[x, 0.5, width, height] for x in (0.25, 0.75) for width, height in shapes]
    np.testing.assert_allclose(level_anchors(CONFIG, 1, 1, 2).numpy(), expected, atol=1e-7)


def test_the_last_level_by_hand_is_clipped():
    # 0.8917 * sqrt(2) = 1.261 is clipped to 1; only ratio 2 there.
    large = math.sqrt(SCALES[5] * SCALES[6])
    expected = [[0.5, 0.5, SCALES[5], SCALES[5]], [0.5, 0.5, large, large],
                [0.5, 0.5, 1.0, 0.63050354], [0.5, 0.5, 0.63050354, 1.0]]
    np.testing.assert_allclose(level_anchors(CONFIG, 5, 1, 1).numpy(), expected, atol=1e-7)


def test_cells_go_by_rows():
    cells = level_anchors(CONFIG, 0, 3, 4).numpy().reshape(3, 4, 6, 4)
    np.testing.assert_allclose(cells[:, :, 0, 0], [[0.125, 0.375, 0.625, 0.875]] * 3)
    np.testing.assert_allclose(cells[:, 0, 5, 1], [1 / 6, 3 / 6, 5 / 6])


@pytest.mark.parametrize("side, sizes, count", [
    (320, [20, 10, 5, 3, 2, 1], 3232), (96, [6, 3, 2, 1, 1, 1], 310), (32, [2, 1, 1, 1, 1, 1], 52)])
def test_levels_and_number_of_anchors(side, sizes, count):
    with torch.device("meta"):
        model = create_model("xxs_ssdlite")
        levels = model.forward_levels(torch.empty(1, 3, side, side))
    assert [tuple(level.shape[2:]) for level in levels] == [(size, size) for size in sizes]
    assert model.level_sizes(side, side) == [(size, size) for size in sizes]
    assert len(anchors(CONFIG, model.level_sizes(side, side))) == count


def test_five_levels_have_their_own_anchors():
    assert len(anchors(SSDLITE_FIVE_LEVELS, [(20, 20), (10, 10), (5, 5), (3, 3), (1, 1)])) == 3208
    assert level_anchors(SSDLITE_FIVE_LEVELS, 1, 1, 1)[0, 2] == pytest.approx(0.1 + 0.95 / 5)


def test_decoding_is_a_loop_over_the_published_formula():
    rng = np.random.default_rng(0)
    priors = level_anchors(CONFIG, 1, 2, 3)
    codes = torch.from_numpy(rng.normal(size=(2, len(priors), 4)))
    found = decode(codes, priors, CONFIG).numpy()
    for image in range(2):
        for row, (x, y, width, height) in enumerate(priors.tolist()):
            dx, dy, dw, dh = codes[image, row].tolist()
            centre_x, centre_y = x + dx * 0.1 * width, y + dy * 0.1 * height
            half_w, half_h = width * math.exp(dw * 0.2) / 2, height * math.exp(dh * 0.2) / 2
            expected = [centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h]
            np.testing.assert_allclose(found[image, row], expected, rtol=1e-12)


def test_encoding_is_the_inverse():
    generator = torch.Generator().manual_seed(0)
    priors = level_anchors(CONFIG, 2, 3, 3)
    low = torch.rand(len(priors), 2, generator=generator, dtype=torch.float64)
    boxes = torch.cat((low, low + 0.05 + torch.rand(len(priors), 2, generator=generator, dtype=torch.float64)), 1)
    torch.testing.assert_close(decode(encode(boxes, priors, CONFIG), priors, CONFIG), boxes)
    assert encode(decode(torch.zeros(1, len(priors), 4).double(), priors, CONFIG), priors, CONFIG).abs().max() < 1e-12
