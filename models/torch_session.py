"""The reference module as a session: what eager PyTorch needs for one inference, next to the engines."""
import collections
import time
from typing import Any, Deque

import numpy as np
import torch

from edgenext_deploy.artifacts.manifest import Preprocessing, TensorSpec, Weights
from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.models.checkpoints.checkpoint import digest_of
from edgenext_deploy.models.factory import create_model, randomise
from edgenext_deploy.models.variants.reference import reference_module
from edgenext_deploy.models.variants.registry import get_variant
from edgenext_deploy.runtime.session import Session, SessionTimings

_SEED = 0


class TorchSession(Session):
    """A variant's reference module, eager, in float32, with an export's parameters: bundled or seeded random ones.

    Args:
        variant: a name in the registry.
        threads: number of threads of torch's operators, for the whole process; None leaves torch's choice.
        device: ``cpu`` or ``cuda``; the copies to and from a GPU are part of an inference.

    Attributes:
        variant: the name.
        weights: where the parameters come from.
        preprocessing: what the module takes.

    Raises:
        UsageError: no such variant, not a classifier, or `threads` less than 1.
        MissingRuntimeError: ``cuda``, and torch has none.
    """

    def __init__(self, variant: str, threads: int | None = None, device: str = "cpu") -> None:
        found = get_variant(variant)
        if found.task != "classification":
            raise UsageError(f"torch:VARIANT is for classifiers; {variant} is for {found.task}",
                             f"export it and measure the file: edgenext-export --variant {variant}")
        if threads is not None and threads < 1:
            raise UsageError(f"threads must be at least 1, found {threads}")
        if device == "cuda" and not torch.cuda.is_available():
            raise MissingRuntimeError("torch has no CUDA here", "ask for --device cpu, or install torch with CUDA")
        if threads is not None:
            torch.set_num_threads(threads)
        self.variant = variant
        self._device = device
        if found.bundled_weights:
            module, source = create_model(found, pretrained=True), f"bundled {found.bundled_weights}"
        else:
            module, source = randomise(reference_module(found, seed=_SEED), _SEED), f"random weights (seed {_SEED})"
        self.weights = Weights(source, not found.bundled_weights, digest_of(module.state_dict()))
        self.preprocessing = Preprocessing(
            found.image_size, found.image_size, found.crop_pct, "bicubic", found.mean, found.std, False)
        self._module: torch.nn.Module | None = module.to(device)
        self._pending: Deque[tuple[np.ndarray, ...]] = collections.deque()
        self.inputs = (TensorSpec("image", (1, 3, found.image_size, found.image_size), "float32"),)
        self.outputs = (TensorSpec("logits", (1, found.num_classes), "float32"),)

    def infer_all(self, image: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run once and return the logits `[1, classes]`; see `Session.infer_all`."""
        if self._module is None:
            raise UsageError(f"the session of torch:{self.variant} is closed", "open it again")
        self.check_input(image)
        start = time.perf_counter()
        with torch.inference_mode():
            logits = self._module(torch.from_numpy(np.ascontiguousarray(image)).to(self._device))
            found: np.ndarray = logits.cpu().numpy()
        self.timings = SessionTimings(wall_ms=(time.perf_counter() - start) * 1e3)
        return (found,)

    def submit(self, image: np.ndarray) -> None:
        """Run immediately: eager torch has no queue on a CPU."""
        self._pending.append(self.infer_all(image))

    def collect(self) -> tuple[np.ndarray, ...]:
        """Return the oldest submitted result."""
        if not self._pending:
            raise UsageError("collect was called with nothing submitted", "call submit first")
        return self._pending.popleft()

    def describe(self) -> dict[str, Any]:
        """Return runtime, version, provider and threads."""
        where = {"provider": "CPU", "threads": torch.get_num_threads()}
        if self._device == "cuda":
            where = {"provider": "CUDA", "threads": None, "device": torch.cuda.get_device_name()}
        return {"runtime": "torch", "version": str(torch.__version__), **where}

    def close(self) -> None:
        """Release the module."""
        self._module = None
        self._pending.clear()
