"""The detector: a frame in, objects with their boxes out."""
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from edgenext_deploy.artifacts.manifest import Detection, TensorSpec
from edgenext_deploy.artifacts.nms_plugin import ends_in_plugin, plugin_outputs
from edgenext_deploy.deprecated import old_call
from edgenext_deploy.errors import BadInputError, UsageError, VerificationError
from edgenext_deploy.networks.base import OLD_ORDER, Labels, Network, require_finite, shown_outputs
from edgenext_deploy.networks.nms import Kept, kept_by_plugin, suppress
from edgenext_deploy.preprocess.placement import boxes_in_picture
from edgenext_deploy.runtime.open import EngineSource
from edgenext_deploy.runtime.options import RuntimeOptions, runtime_from_keywords


class DetectedObject(NamedTuple):
    """One object and its box.

    The box is measured between pixel edges: one over a whole frame 640 wide has `left` 0.0 and `right` 640.0.

    Attributes:
        index: index of the class.
        label: its name.
        score: from 0 to 1.
        left: edge of the box, in pixels of the frame.
        top: edge of the box, in pixels of the frame.
        right: edge of the box, in pixels of the frame.
        bottom: edge of the box, in pixels of the frame.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    label: str
    score: float
    left: float
    top: float
    right: float
    bottom: float


class Detector(Network[List[DetectedObject]]):
    """An exported detector, ready for photos and camera frames.

    ::

        with Detector("s_ssdlite.onnx", score_threshold=0.3) as detect:
            for found in detect(frame):
                print(found.label, found.score, found.left, found.top, found.right, found.bottom)

    An engine gives every anchor's box and scores, which are suppressed here, or the detections of TensorRT's NMS
    plugin, whose settings are fixed in it.

    A call returns the objects, the highest score first. Boxes are clipped to the frame; a box that lies entirely
    outside is left out.

    Args:
        engine: see `Network`, as for the arguments that are not listed here and for the errors.
        score_threshold: only what scores more is returned; None takes the manifest's, which is low because an
            evaluation needs the doubtful ones too. An application wants 0.3 or more.
        iou_threshold: overlap within a class from which the lower score goes; None takes the manifest's.
        keep: largest number of objects per frame; None takes the manifest's.

    Attributes:
        settings: what the suppression works with.
    """

    task = "detection"

    @old_call("labels", "score_threshold", "iou_threshold", "keep", *OLD_ORDER[1:],
               adapt=runtime_from_keywords("runtime"))
    def __init__(self, engine: EngineSource, *, labels: Labels = None,
                 runtime: RuntimeOptions = RuntimeOptions(), color: str = "bgr",  # noqa: B008 - immutable
                 score_threshold: Optional[float] = None, iou_threshold: Optional[float] = None,
                 keep: Optional[int] = None) -> None:
        for name, share in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
            if share is not None and not 0.0 <= share <= 1.0:
                raise UsageError("{} must be from 0 to 1, found {}".format(name, share))
        if keep is not None and keep < 1:
            raise UsageError("keep must be at least 1, found {}".format(keep))
        super().__init__(engine, labels=labels, runtime=runtime, color=color)
        self._names = [spec.name for spec in self.session.outputs]
        self._suppressed = ends_in_plugin(self.session.outputs)
        own = self.manifest.detection
        assert own is not None  # `_classes` has refused that
        self.settings = Detection(
            own.score_threshold if score_threshold is None else score_threshold,
            own.iou_threshold if iou_threshold is None else iou_threshold,
            own.candidates, own.keep if keep is None else keep)
        if self._suppressed:
            self._check_settings(own)

    def _check_settings(self, own: Detection) -> None:
        """Close, and raise UsageError, where the plugin has thrown away what the settings would keep."""
        wanted = self.settings
        if (wanted.score_threshold < own.score_threshold or wanted.keep > own.keep
                or wanted.iou_threshold != own.iou_threshold):
            self.close()
            raise UsageError(
                "the engine suppresses boxes itself, with score_threshold {}, iou_threshold {} and keep {}: only a "
                "higher score_threshold and a smaller keep can be chosen".format(
                    own.score_threshold, own.iou_threshold, own.keep),
                "use the engine without the NMS plugin")

    def _classes(self, path: str, outputs: Tuple[TensorSpec, ...]) -> int:
        if ends_in_plugin(outputs):
            return self._classes_of_plugin(path, outputs)
        by_name = {spec.name: spec.shape for spec in outputs}
        boxes, scores = by_name.get("boxes", ()), by_name.get("scores", ())
        if len(boxes) != 3 or len(scores) != 3 or boxes[2] != 4 or boxes[1] != scores[1]:
            raise BadInputError(
                "{} is not a detector: outputs boxes [1, anchors, 4] and scores [1, anchors, classes] expected, found "
                "{}".format(path, shown_outputs(outputs)), "export again with edgenext-export")
        settings = self.manifest.detection
        if settings is None or settings.candidates < 1 or settings.keep < 1:
            raise BadInputError("{}: its manifest does not say how boxes are selected: field 'detection' is {}".format(
                path, settings), "export again with edgenext-export")
        return scores[2]

    def _classes_of_plugin(self, path: str, outputs: Tuple[TensorSpec, ...]) -> int:
        settings, golden = self.manifest.detection, self.manifest.golden
        expected = None if settings is None else plugin_outputs(sum(outputs[0].shape[:1]), settings)
        if expected is None or {spec[:2] for spec in outputs} != {spec[:2] for spec in expected}:
            raise BadInputError("{}: its manifest says {}, its outputs are {}".format(
                path, settings, shown_outputs(outputs)), "export again with edgenext-export")
        if not golden.more or len(golden.more[0].output_shape) != 3:
            raise BadInputError("{}: its manifest has no golden scores [1, anchors, classes]".format(path),
                                "export again with edgenext-export")
        return golden.more[0].output_shape[2]  # nothing else says how many there are

    def _kept(self, outputs: Dict[str, np.ndarray]) -> Kept:
        if not self._suppressed:
            boxes, scores = (outputs[name][0].astype(np.float32, copy=False) for name in ("boxes", "scores"))
            return suppress(boxes, scores, self.settings)
        kept = kept_by_plugin(outputs)
        require_finite(kept.boxes)
        require_finite(kept.scores)
        if kept.classes.size and not 0 <= kept.classes.min() <= kept.classes.max() < len(self.labels):
            raise VerificationError("the network returned class {}, and has {}".format(
                int(kept.classes.max()), len(self.labels)), "build the engine again")
        count = min(int((kept.scores > self.settings.score_threshold).sum()), self.settings.keep)
        return Kept(*(values[:count] for values in kept))

    def _answer(self, outputs: Tuple[np.ndarray, ...], size: Tuple[int, int]) -> List[DetectedObject]:
        kept = self._kept(dict(zip(self._names, outputs)))
        # Double precision, because 1.0 times a frame's width has to be the width.
        shares = boxes_in_picture(kept.boxes, self._placed(size), self.manifest.preprocessing)
        clipped = np.clip(shares, 0.0, 1.0) * np.array(size * 2, dtype=np.float64)
        return [
            DetectedObject(index, self.labels[index], score, left, top, right, bottom)
            for index, score, (left, top, right, bottom)
            in zip(kept.classes.tolist(), kept.scores.tolist(), clipped.tolist())
            if right > left and bottom > top]
