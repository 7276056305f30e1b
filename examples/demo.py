"""What `make demo` runs: a trained network is exported, checked and tried, in FP32 and in FP16, on this machine's CPU.

Usage: ``python examples/demo.py [--pretrained] [--output DIR]``. Without ``--pretrained`` nothing is downloaded.
"""
import argparse
import os
import socket
import statistics
import sys
import threading
import time
from urllib.parse import urlsplit

from PIL import Image

from edgenext_deploy import Classifier
from edgenext_deploy.benchmarks.accuracy.evaluate import Evaluation, evaluate
from edgenext_deploy.data import path_of
from edgenext_deploy.errors import EdgeNextError
from edgenext_deploy.export.api import export_onnx
from edgenext_deploy.files import cache_folder
from edgenext_deploy.models.checkpoints.download import fetch
from edgenext_deploy.models.variants.registry import get_variant
from edgenext_deploy.run.drawing import draw_lines

PATIENCE_S = 5
# Of the pictures that ship some that are easy for it; how often it is right is printed below them.
SHOWN = {
    "icons": [os.path.join("icons", label, "0.jpg") for label in (
        "cat", "elephant", "bus", "airplane", "penguin", "pizza", "house", "guitar")],
    "xxs": [os.path.join("photos", name + ".jpg") for name in ("cat", "coffee", "rocket")]}
TILE = 240  # pixels
RIGHT, LINE = (20, 110, 60), "  {:<24} {:<28} {:>6.1%}"


def reachable(host: str) -> bool:
    """Say whether a host answers within PATIENCE_S; looking up its name counts."""
    found = []

    def knock() -> None:
        try:
            socket.create_connection((host, 443), PATIENCE_S).close()
            found.append(host)
        except OSError:
            pass

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    return bool(found)


def chosen(pretrained: bool) -> str:
    """Return the variant: the authors' xxs if it is asked for and can be had, else the one that ships."""
    if not pretrained:
        return "icons"
    variant = get_variant("xxs")
    published = variant.checkpoints[0]
    host = urlsplit(published.url).hostname or ""
    if not os.path.isfile(os.path.join(cache_folder(), published.file)) and not reachable(host):
        print("{} did not answer within {} s: going on with the network that ships".format(host, PATIENCE_S))
        return "icons"
    try:
        fetch(variant)
    except EdgeNextError as error:
        print("{}: going on with the network that ships".format(error.message))
        return "icons"
    return "xxs"


def look(engine: str, pictures: "list[str]", save: str) -> float:
    """Print and draw the answers to the pictures; return the median time of an answer in ms, photo to label."""
    tiles, times = [], []
    with Classifier(engine) as classify:
        classify(pictures[0])
        for picture in pictures:
            for _ in range(20):
                start = time.perf_counter()
                best = classify(picture)[0]
                times.append(1e3 * (time.perf_counter() - start))
            name = os.path.relpath(picture, path_of()).replace(os.sep, "/")
            print(LINE.format(name, best.label, best.probability))
            tile = Image.open(picture).convert("RGB").resize((TILE, TILE), Image.BICUBIC)
            tiles.append(draw_lines(tile, [(RIGHT, "{} {:.0%}".format(best.label, best.probability))]))
    columns = min(4, len(tiles))
    sheet = Image.new("RGB", (TILE * columns, TILE * -(-len(tiles) // columns)))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (TILE * (number % columns), TILE * (number // columns)))
    sheet.save(save)
    return statistics.median(times)


def accuracy_lines(evaluation: Evaluation) -> "list[str]":
    """Return a line on the top-1 accuracy of each engine, with Wilson's interval."""
    lines = []
    for kind, result in zip(("FP32", "FP16"), evaluation.engines):
        top1 = result.metrics[0]
        lines.append("  {}   {:.1%}  ({:.1%} to {:.1%} with 95 % confidence, {} pictures)".format(
            kind, top1.value, top1.low, top1.high, evaluation.used))
    return lines


def main() -> None:
    """Export, look, measure, and say what comes next."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pretrained", action="store_true", help="fetch the authors' xxs")
    parser.add_argument("--output", default="demo", help="folder for the files")
    options = parser.parse_args()
    variant = chosen(options.pretrained)
    print("Exporting {} in FP32 and FP16 …".format(variant))
    fp32, fp16 = (export_onnx(variant, os.path.join(options.output, folder), target=target, fp16=half, force=True,
                              pretrained=True)
                  for folder, target, half in (("", "nano", False), ("fp16", "a100", True)))
    able = [release for release, verdict in fp32.manifest.verdicts.items() if verdict["supported"]]
    print("  {}   answers as PyTorch to {:.0e} of the largest logit; can run on TensorRT {} to {}\n".format(
        fp32.engine_path, fp32.manifest.parity.max_relative_error, able[0], able[-1]))
    print("What it sees")
    picture = os.path.join(options.output, "answers.png")
    median_ms = look(fp32.engine_path, [path_of(part) for part in SHOWN[variant]], picture)
    print("  drawn into {}\n".format(picture))
    if variant == "icons":
        print("Accuracy on pictures in a style that it was not trained on")
        evaluation = evaluate(fp32.engine_path, fp16.engine_path, data=path_of("icons"))
        print("\n".join(accuracy_lines(evaluation)) + "\n")
    print("Latency   {:.1f} ms from file to label, on this processor\n".format(median_ms))
    print("Next\n  edgenext-run {0} YOUR_PHOTO.jpg\n  edgenext-bench {0}\n"
               "  docs/tutorial.md   your own classes, on a Nano".format(fp32.engine_path))


if __name__ == "__main__":
    try:
        main()
    except EdgeNextError as error:
        sys.exit(str(error))
