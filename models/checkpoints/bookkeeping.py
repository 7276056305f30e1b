"""Tensors beside a network's parameters that training scripts keep: counters, metrics, losses, statistics."""
import re
from collections.abc import Iterable

# Profilers and averaging put these beside any module's parameters.
_COUNTERS = {"total_ops", "total_params", "n_averaged"}
_WORDS = {
    "acc", "auroc", "auc", "center", "centers", "count", "counts", "counter", "decay", "ema", "epoch", "f1", "freq",
    "initted", "iou", "lr", "map", "mean", "miou", "momentum", "num", "precision", "prototypes", "queue", "recall",
    "scaler", "scheduler", "sigma", "std", "step", "steps", "top", "total", "updates"}
_PARTS = ("accuracy", "confmat", "confusion", "criterion", "loss", "metric", "optim", "pos_weight", "class_weight")


def is_bookkeeping(name: str, modules: Iterable[str]) -> bool:
    """Say whether a tensor that the network does not have is bookkeeping, and no parameter.

    Args:
        name: of the tensor.
        modules: first words of the network's own names; inside of these only a profiler's counters are bookkeeping.
    """
    if name.rsplit(".", 1)[-1] in _COUNTERS:
        return True
    if name.split(".")[0] in modules:
        return False
    lower = name.lower()
    return any(part in lower for part in _PARTS) or any(
        word in _WORDS or word.rstrip("0123456789") in _WORDS for word in re.split(r"[\W_]+", lower))
