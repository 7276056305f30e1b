"""Train the networks of tests/shapes.py again: some two minutes each on one CPU core.

Usage, from the repository's root: ``PYTHONPATH=.:tests:tests/data python tests/data/train_shapes.py [FOLDER]``
"""
import os
import sys
import time

import click
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from shapes import (
    CLASSES,
    DATA,
    HEIGHT,
    PREPROCESSING,
    SIZE,
    TRAINED,
    WIDTH,
    held_out_scenes,
    registered,
    training_scenes,
)
from train_digits import groups, learning_rate

from edgenext_deploy.models.definitions.anchors import encode
from edgenext_deploy.models.factory import create_model
from edgenext_deploy.preprocess.photo import preprocess

SEED = 0
BATCH = 32
EPOCHS = {"shapes_ssdlite": 18, "shapes_deeplabv3": 7}
PEAK_LEARNING_RATE = 4e-3
MATCH = 0.5  # overlap from which an anchor stands for an object
NEGATIVES = 3  # for each positive anchor, the hardest ones


def network_inputs(images):
    """Return scenes as the networks take them, float32 `[N, 3, 96, 96]`."""
    return torch.from_numpy(np.concatenate([preprocess(image, PREPROCESSING, "rgb") for image in images]))


def flipped(inputs, generator):
    """Return which images of a batch to mirror, and the batch with these mirrored."""
    chosen = torch.rand(len(inputs), generator=generator) < 0.5
    return chosen, torch.where(chosen[:, None, None, None], inputs.flip(3), inputs)


def overlaps(boxes, others):
    """Return the intersection over union of every two, `[len(boxes), len(others)]`."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = (high - low).clamp(min=0).prod(2)
    areas = [(some[:, 2:] - some[:, :2]).prod(1) for some in (boxes, others)]
    return common / (areas[0][:, None] + areas[1][None] - common)


def targets(objects, priors, config):
    """Return for one image the box codes `[anchors, 4]` and classes `[anchors]` (0: background) of every anchor."""
    boxes = torch.tensor([box for _, box in objects], dtype=torch.float64)
    boxes = boxes / torch.tensor([WIDTH, HEIGHT] * 2)
    classes = torch.tensor([index + 1 for index, _ in objects])
    corners = torch.cat((priors[:, :2] - priors[:, 2:] / 2, priors[:, :2] + priors[:, 2:] / 2), dim=1)
    overlap = overlaps(boxes, corners)
    best, chosen = overlap.max(0)
    # Each object has at least its own best anchor.
    own = overlap.argmax(1)
    best[own], chosen[own] = 1.0, torch.arange(len(boxes))
    return (encode(boxes[chosen], priors, config).float(), torch.where(best >= MATCH, classes[chosen], 0))


def detection_loss(codes, logits, wanted_codes, wanted):
    """Smooth L1 of the positives' codes and cross-entropy with hard negatives, over the number of positives."""
    positive = wanted > 0
    entropy = F.cross_entropy(logits.transpose(1, 2), wanted, reduction="none")
    negatives = entropy.detach().masked_fill(positive, -1.0)
    rank = negatives.argsort(1, descending=True).argsort(1)
    counted = positive | (rank < NEGATIVES * positive.sum(1, keepdim=True))
    boxes = F.smooth_l1_loss(codes[positive], wanted_codes[positive], reduction="sum")
    return (boxes + entropy[counted].sum()) / positive.sum()


def segmentation_loss(logits, wanted):
    """Cross-entropy of every pixel."""
    return F.cross_entropy(logits, wanted)


def mirrored(objects):
    """Return the objects of a mirrored scene."""
    return [(index, (WIDTH - right, top, WIDTH - left, bottom)) for index, (left, top, right, bottom) in objects]


def prepared_targets(name, model, masks, objects):
    """Return the targets of the scenes and of the mirrored scenes, each a tuple of tensors `[N, ...]`."""
    if name == "shapes_deeplabv3":
        rows, columns = np.arange(SIZE) * HEIGHT // SIZE, np.arange(SIZE) * WIDTH // SIZE
        wanted = torch.from_numpy(masks[:, rows[:, None], columns].astype(np.int64))
        return (wanted,), (wanted.flip(2),)
    priors = model.anchors(model.level_sizes(SIZE, SIZE))
    return tuple(
        tuple(map(torch.stack, zip(*(targets(found, priors, model.config) for found in variation))))
        for variation in (objects, [mirrored(found) for found in objects]))


def train(name, images, masks, objects):
    """Return the trained module, in evaluation mode."""
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)  # dropout
    with registered():
        model = create_model(name, num_classes=CLASSES[name], seed=SEED).train()
    plain, mirror = prepared_targets(name, model, masks, objects)
    inputs = network_inputs(images)
    steps = EPOCHS[name] * (len(inputs) // BATCH)
    optimizer = torch.optim.AdamW(groups(model), lr=PEAK_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate((step + 1) / steps))
    start = time.perf_counter()
    for epoch in range(EPOCHS[name]):
        total = 0.0
        for batch in torch.randperm(len(inputs), generator=generator).split(BATCH):
            turned, pictures = flipped(inputs[batch], generator)
            wanted = [torch.where(turned.view(-1, *[1] * (left.dim() - 1)), right[batch], left[batch])
                      for left, right in zip(plain, mirror)]
            optimizer.zero_grad()
            loss = (segmentation_loss(model(pictures), *wanted) if name == "shapes_deeplabv3"
                    else detection_loss(*model(pictures), *wanted))
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        click.echo("{} epoch {}: loss {:.4f}, {:.0f} s".format(
            name, epoch + 1, total * BATCH / len(inputs), time.perf_counter() - start))
    return model.eval()


def pixel_accuracy(model, images, masks):
    """Return the share of the pixels, 0..1, that have the right class."""
    wanted = prepared_targets("shapes_deeplabv3", model, masks, [])[0][0]
    with torch.inference_mode():
        return float((model.segment(network_inputs(images)) == wanted).float().mean())


def best_class(model, images, objects):
    """Return the share of the objects, 0..1, of which some box has the right class, score and place."""
    with torch.inference_mode():
        boxes, scores = model.detect(network_inputs(images))
    found = total = 0
    for image_boxes, image_scores, wanted in zip(boxes, scores, objects):
        for index, box in wanted:
            place = torch.tensor([box]) / torch.tensor([WIDTH, HEIGHT] * 2)
            right = (image_scores.argmax(1) == index) & (image_scores.max(1).values > 0.5)
            found += bool((overlaps(place, image_boxes)[0][right] > 0.5).any())
            total += 1
    return found / total


def main(folder):
    """Train every network and write its weights into `folder`."""
    torch.set_num_threads(1)  # the same sums on every run
    images, masks, objects = training_scenes()
    held_out, held_out_masks, held_out_objects = held_out_scenes()
    for name in TRAINED:
        start = time.perf_counter()
        model = train(name, images, masks, objects)
        save_file(model.state_dict(), os.path.join(folder, name + ".safetensors"))
        score = (pixel_accuracy(model, held_out, held_out_masks) if name == "shapes_deeplabv3"
                 else best_class(model, held_out, held_out_objects))
        click.echo("{}: held out {:.2%} of the {}, {:.0f} s".format(
            name, score, "pixels" if name == "shapes_deeplabv3" else "objects", time.perf_counter() - start))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(DATA))
