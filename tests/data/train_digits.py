"""Train the networks of tests/trained.py again: about a minute each on one CPU core.

Usage, from the repository's root: ``PYTHONPATH=.:tests python tests/data/train_digits.py [FOLDER]``
"""
import math
import os
import sys
import time

import click
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from trained import CLASSES, DATA, TRAINED, digits, network_inputs, registered

from edgenext_deploy.models.factory import create_model

SEED = 0
EPOCHS = 50
WARM_UP = 0.1  # share of the steps
BATCH = 64
PEAK_LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.05  # of matrices and kernels only, as published
SHIFT = 8  # pixels of 64: one pixel of the original 8x8 image
SMOOTHING = 0.1  # of the labels, as published


def augment(inputs, generator):
    """Shift every image of `[B, 3, H, W]` by up to SHIFT pixels; the border repeats."""
    height, width = inputs.shape[2:]
    padded = F.pad(inputs, [SHIFT] * 4, mode="replicate")
    offsets = torch.randint(0, 2 * SHIFT + 1, (len(inputs), 2), generator=generator).tolist()
    return torch.stack([
        image[:, top:top + height, left:left + width] for image, (top, left) in zip(padded, offsets)])


def groups(model):
    """Return AdamW's parameter groups: vectors (scales, shifts, biases) do not decay."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    return [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]


def learning_rate(progress):
    """Return the factor of the peak rate at a share 0..1 of the training: linear warm-up, then a cosine to zero."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))


def train(name, inputs, labels):
    """Return the trained module, in evaluation mode."""
    generator = torch.Generator().manual_seed(SEED)
    with registered():
        model = create_model(name, num_classes=CLASSES, seed=SEED).train()
    steps = EPOCHS * (len(inputs) // BATCH)
    optimizer = torch.optim.AdamW(groups(model), lr=PEAK_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate((step + 1) / steps))
    loss_of = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs), generator=generator)
        for batch in order[:len(inputs) // BATCH * BATCH].split(BATCH):
            optimizer.zero_grad()
            loss_of(model(augment(inputs[batch], generator)), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def accuracy(model, inputs, labels):
    """Return the share of images, 0..1, whose largest logit is that of their label."""
    with torch.inference_mode():
        return float((model(inputs).argmax(1) == labels).float().mean())


def main(folder):
    """Train every network and write its weights into `folder`."""
    torch.set_num_threads(1)  # the same sums on every run
    (inputs, labels), (held_out_inputs, held_out_labels) = (
        (torch.from_numpy(network_inputs(images)), torch.from_numpy(classes)) for images, classes in digits())
    for name in TRAINED:
        start = time.perf_counter()
        model = train(name, inputs, labels)
        save_file(model.state_dict(), os.path.join(folder, name + ".safetensors"))
        click.echo("{}: held out {:.2%}, training {:.2%}, {:.0f} s".format(
            name, accuracy(model, held_out_inputs, held_out_labels), accuracy(model, inputs, labels),
            time.perf_counter() - start))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(DATA))
