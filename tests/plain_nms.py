"""Class-wise non-maximum suppression by the definition, with loops."""


def overlap(a, b):
    """Return intersection over union of two boxes (left, top, right, bottom)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    areas = [max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0) for box in (a, b)]
    union = areas[0] + areas[1] - common
    return common / union if union > 0.0 else 0.0


def plain_nms(boxes, scores, settings):
    """Return (class, anchor) of what stays, the best first: each class alone, then the best of all.

    Args:
        boxes: `[anchors, 4]`.
        scores: `[anchors, classes]`.
        settings: a manifest's `Detection`.
    """
    everything = []
    for index in range(scores.shape[1]):
        candidates = [anchor for anchor in range(len(boxes)) if scores[anchor, index] > settings.score_threshold]
        candidates.sort(key=lambda anchor: (-scores[anchor, index], anchor))
        kept = []
        for anchor in candidates[:settings.candidates]:
            if all(overlap(boxes[anchor], boxes[other]) <= settings.iou_threshold for other in kept):
                kept.append(anchor)
        everything += [(index, anchor) for anchor in kept]
    everything.sort(key=lambda pair: (-scores[pair[1], pair[0]], pair))
    return everything[:settings.keep]
