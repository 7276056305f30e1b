"""Train `icons`, the network that ships with its weights: 32 things, drawn as icons and emoji, from scratch.

Usage: ``pip install resvg-py==0.5.0``, then ``python examples/train_icons.py --out FOLDER``. ``npm`` fetches the icon
sets. It takes half an hour on one CPU core and writes the weights, the labels and the held-out pictures.
`edgenext_deploy/data/SOURCES.md` names the licences and says what came out.
"""
import argparse
import copy
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from icon_pictures import CLASSES, HELD_OUT, SETS, Painter, drawings
from PIL import Image
from torch import Tensor, nn

from edgenext_deploy.models.factory import create_model
from edgenext_deploy.models.variants.registry import get_variant

SEED = 0
BATCH = 32
PEAK_LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
WARM_UP = 0.05  # share of the steps
EMA = 0.998
SMOOTHING = 0.1
EASY = 0.5  # share of the steps in which the distortions grow
FIRST_STRENGTH, STRENGTH = 0.1, 0.6  # of the distortions, at first and from then on
TEST_STRENGTH = 0.4  # of the distortions of the held-out pictures
PER_CLASS = 4  # pictures of each class that ship


def normalised(pictures: Tensor) -> Tensor:
    """Return the network's input of pictures in 0..1."""
    variant = get_variant("icons")
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (variant.mean, variant.std))
    return (pictures - mean) / std


def learning_rate(progress: float) -> float:
    """Return the factor of the peak rate at a share 0..1 of the training: linear warm-up, then a cosine to zero."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))


def train(
    images: Tensor, classes: Tensor, colored: Tensor, steps: int, keep: Callable[[nn.Module], None],
) -> nn.Module:
    """Return the moving average of the trained network, in evaluation mode; `keep` gets it now and then before."""
    painter = Painter(SEED)
    model = create_model("icons", seed=SEED).train().to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW([
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0}], lr=PEAK_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate((step + 1) / steps))
    loss_of = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    # Every class equally often; drawings in colour count six times, as there are more of the others.
    weights = 1.0 + 5.0 * colored.float()
    per_class = torch.zeros(len(CLASSES)).index_add_(0, classes, weights)
    weights = weights / per_class[classes]
    started = time.perf_counter()
    for step in range(steps):
        painter.strength = min(STRENGTH, FIRST_STRENGTH + (STRENGTH - FIRST_STRENGTH) * step / (EASY * steps))
        chosen = torch.multinomial(weights, BATCH, replacement=True, generator=painter.generator)
        loss = loss_of(model(normalised(painter.paint(images[chosen], colored[chosen]))), classes[chosen])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        decay = min(EMA, (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, new in zip(average.state_dict().values(), model.state_dict().values()):
                kept.lerp_(new, 1 - decay) if kept.is_floating_point() else kept.copy_(new)
        if step % 50 == 0:
            print(f"step {step} of {steps}, loss {loss:.3f}, {time.perf_counter() - started:.0f} s", flush=True)
        if step % 1000 == 999:
            keep(average)
    return average


def held_out(folder: Path) -> tuple[Tensor, Tensor]:
    """Return the test: ten pictures of each class from the held-out sets, uint8 `[N, SIDE, SIDE, 3]`, and classes."""
    images, classes, colored = drawings(HELD_OUT, folder)
    painter = Painter(SEED + 1, strength=TEST_STRENGTH)
    chosen = torch.cat([torch.nonzero(classes == index).flatten().repeat(10)[:10] for index in range(len(CLASSES))])
    pictures = torch.cat([painter.paint(images[part], colored[part]) for part in chosen.split(BATCH)])
    return (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous(), classes[chosen]


def right(model: nn.Module, pictures: Tensor, classes: Tensor) -> Tensor:
    """Return for every picture whether the largest logit is its class's."""
    with torch.inference_mode():
        return torch.cat([model(normalised(part.permute(0, 3, 1, 2).float() / 255)).argmax(1)
                          for part in pictures.split(BATCH)]) == classes


def ship(model: nn.Module, pictures: Tensor, classes: Tensor, folder: Path) -> None:
    """Write the weights in FP16, the labels, and the first pictures of every class."""
    from safetensors.torch import save_file

    state = {key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()}
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "icons.safetensors")
    (folder / "icons32.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    for index, label in enumerate(CLASSES):
        place = folder / "icons" / label
        place.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures[classes == index][:PER_CLASS]):
            Image.fromarray(picture.numpy()).save(place / f"{number}.jpg", quality=85)


def main() -> None:
    """Train, test on the held-out style, and write everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--packages", type=Path, help="folder with the packages of npm (default: --out)")
    parser.add_argument("--steps", type=int, default=6000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the same sums on every run
    packages = arguments.packages or arguments.out
    for folder in (arguments.out, packages):
        folder.mkdir(parents=True, exist_ok=True)
    images, classes, colored = drawings(SETS, packages)
    pictures, truth = held_out(packages)

    def keep(model: nn.Module) -> None:
        ship(model, pictures, truth, arguments.out)
        answers = right(model, pictures, truth)
        print(f"held-out style: {int(answers.sum())} of {len(answers)} right", flush=True)

    keep(train(images, classes, colored, arguments.steps, keep))


if __name__ == "__main__":
    main()
