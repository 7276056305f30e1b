"""Fine-tune a network on your own classes: a folder of photos for each class becomes a checkpoint for edgenext-export.

Usage: ``python examples/finetune.py PHOTOS --out mine.pth`` starts from `icons`, whose weights ship. Add ``--variant
xxs`` to start from the authors' weights, which are downloaded: they know real photos. Every fifth photo is held out.
"""
import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn

from edgenext_deploy.artifacts.manifest import Preprocessing
from edgenext_deploy.models import create_model
from edgenext_deploy.models.variants.registry import get_variant
from edgenext_deploy.preprocess.photo import load_photo, preprocess
from edgenext_deploy.preprocess.photo_files import photos_in

BATCH, PEAK_RATE = 16, 1e-3


def varied(path: str, random: np.random.Generator) -> Image.Image:
    """Return a random part of a photo, mirrored half of the time."""
    photo = load_photo(path)
    side = min(photo.size) * random.uniform(0.6, 1.0)
    left, top = (random.uniform(0, length - side) for length in photo.size)
    part = photo.crop((round(left), round(top), round(left + side), round(top + side)))
    return ImageOps.mirror(part) if random.random() < 0.5 else part


def main() -> None:
    """Train, print the accuracy on the held-out photos, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path, help="folder with a folder of photos for each class")
    parser.add_argument("--out", default="mine.pth", help="checkpoint to write")
    parser.add_argument("--variant", default="icons")
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    variant, random = get_variant(options.variant), np.random.default_rng(0)
    labels = sorted(folder.name for folder in options.photos.glob("*") if folder.is_dir())
    if len(labels) < 2:
        parser.error("{} folders in {}, one for each class expected".format(len(labels), options.photos))
    files = [(path, index) for index, label in enumerate(labels) for path in photos_in(str(options.photos / label))]
    held_out, training = files[4::5], [file for number, file in enumerate(files) if number % 5 != 4]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = create_model(variant, pretrained=True)
    model.head = nn.Linear(model.head.in_features, len(labels))
    model.to(device)
    preparation = Preprocessing(variant.image_size, variant.image_size, variant.crop_pct, "bicubic", variant.mean,
                                variant.std, False)

    def logits(chosen: list, train: bool) -> torch.Tensor:
        inputs = [preprocess(varied(path, random) if train else path, preparation) for path, _ in chosen]
        return model.train(train)(torch.from_numpy(np.concatenate(inputs)).to(device))

    steps = options.epochs * -(-len(training) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for epoch in range(options.epochs):
        random.shuffle(training)
        for start in range(0, len(training), BATCH):
            chosen = training[start:start + BATCH]
            truth = torch.tensor([index for _, index in chosen], device=device)
            loss = nn.functional.cross_entropy(logits(chosen, True), truth, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print("epoch {} of {}: loss {:.3f}".format(epoch + 1, options.epochs, loss.item()))
    with torch.inference_mode():
        right = sum(int(logits([file], False).argmax()) == file[1] for file in held_out)
    print("held out: {} of {} right".format(right, len(held_out)))
    torch.save({
        "arch": variant.name, "state_dict": model.eval().cpu().state_dict(), "pretrained_cfg": {
            "input_size": (3, variant.image_size, variant.image_size), "mean": variant.mean, "std": variant.std,
            "crop_pct": variant.crop_pct, "interpolation": "bicubic", "label_names": labels}}, options.out)
    print("next: edgenext-export {} --weights {} --fp16".format(variant.name, options.out))


if __name__ == "__main__":
    main()
