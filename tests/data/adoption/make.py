"""Makes the narrow networks of this folder from torchvision's public definitions, with random weights.

Run by hand: python tests/data/adoption/make.py, where torch, onnx, onnxscript and torchvision are installed. With
--full FOLDER it writes the networks at their published sizes there, some 500 MB. Made with torch 2.13.0 and torchvision
0.29.1. Each network has the operators of the published one; NAME.npz holds
what PyTorch makes of one image.
"""
import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision import models
from torchvision.models import detection, segmentation
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.detection.image_list import ImageList
from torchvision.models.mobilenetv3 import MobileNetV3, _mobilenet_v3_conf

HERE = Path(__file__).parent


class Segmenter(nn.Module):
    """The logits alone, of the networks that give a dictionary."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        return self.model(image)["out"]


class Detector(nn.Module):
    """Decoded boxes in parts of the image, and probabilities without the background: what comes before suppression."""

    def __init__(self, model, size):
        super().__init__()
        self.model, self.size = model, size

    def forward(self, image):
        maps = list(self.model.backbone(image).values())
        head = self.model.head(maps)
        anchors = self.model.anchor_generator(ImageList(image, [(self.size, self.size)] * len(image)), maps)
        boxes = torch.stack([self.model.box_coder.decode_single(codes, own)
                             for codes, own in zip(head["bbox_regression"], anchors)])
        return boxes / self.size, head["cls_logits"].softmax(-1)[..., 1:]


def mobilenet_v3(width, classes, **options):
    settings, last = _mobilenet_v3_conf("mobilenet_v3_small", width_mult=width, **options)
    return MobileNetV3(settings, last_channel=last, num_classes=classes)


def narrow_segmenter():
    backbone = mobilenet_v3(0.1, 4, dilated=True).features
    channels = backbone[-1].out_channels
    backbone = IntermediateLayerGetter(backbone, {str(len(backbone) - 1): "out"})
    head = segmentation.deeplabv3.DeepLabHead(channels, 5)
    head[0] = segmentation.deeplabv3.ASPP(channels, (2, 3, 4), 8)
    head[1] = nn.Conv2d(8, 8, 3, padding=1, bias=False)
    head[2], head[4] = nn.BatchNorm2d(8), nn.Conv2d(8, 5, 1)
    return Segmenter(segmentation.DeepLabV3(backbone, head))


def narrow_detector(size):
    features = mobilenet_v3(0.1, 4, reduced_tail=True).features
    stage = [index for index, block in enumerate(features) if getattr(block, "_is_cn", False)][-1]
    backbone = detection.ssdlite.SSDLiteFeatureExtractorMobileNet(features, stage, nn.BatchNorm2d, 0.1, 8)
    anchors = detection.anchor_utils.DefaultBoxGenerator([[2, 3]] * 6, min_ratio=0.2, max_ratio=0.95)
    whole = detection.ssd.SSD(
        backbone, anchors, (size, size), 4,
        head=detection.ssdlite.SSDLiteHead(
            detection._utils.retrieve_out_channels(backbone, (size, size)), anchors.num_anchors_per_location(), 4,
            nn.BatchNorm2d))
    return Detector(whole, size)


NARROW = {
    "mobilenet_v2": (partial(models.MobileNetV2, num_classes=10, width_mult=0.1), 64),
    "mobilenet_v3": (partial(mobilenet_v3, 0.1, 10), 64),
    "shufflenet_v2": (partial(models.ShuffleNetV2, [2, 2, 2], [8, 16, 32, 64, 64], 10), 64),
    "convnext": (partial(ConvNeXt, [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 2)],
                         num_classes=10), 64),
    "vit": (partial(models.VisionTransformer, 32, 8, 2, 2, 32, 64, num_classes=10), 32),
    "swin": (partial(models.SwinTransformer, [4, 4], 8, [2, 2], [2, 4], [4, 4], num_classes=10), 64),
    "deeplabv3_mobilenet_v3": (narrow_segmenter, 64),
    "ssdlite_mobilenet_v3": (partial(narrow_detector, 64), 64),
}
FULL = {
    "mobilenet_v2": (models.mobilenet_v2, 224), "mobilenet_v3_large": (models.mobilenet_v3_large, 224),
    "shufflenet_v2_x1_0": (models.shufflenet_v2_x1_0, 224), "convnext_tiny": (models.convnext_tiny, 224),
    "vit_b_16": (models.vit_b_16, 224), "swin_t": (models.swin_t, 224),
    "deeplabv3_mobilenet_v3": (lambda: Segmenter(segmentation.deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=21)), 320),
    "ssdlite320_mobilenet_v3": (lambda: Detector(detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=91), 320), 320),
}


def randomise(module):
    """Give every norm statistics and factors that are not neutral, so that a norm left out is seen."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.copy_(torch.randn(part.num_features, generator=generator) * 0.1)
            part.running_var.copy_(torch.rand(part.num_features, generator=generator) + 0.5)
    with torch.no_grad():
        for value in module.parameters():
            if value.dim() == 1:
                value.add_(torch.randn(value.shape, generator=generator) * 0.1)


def image_of(size):
    """Return the image of the answers, `[1, 3, size, size]`; `adoption_files.answers` makes the same one."""
    return np.random.default_rng(0).standard_normal((1, 3, size, size), dtype=np.float32)


def write(networks, folder, with_answers):
    for name, (make, size) in networks.items():
        torch.manual_seed(0)
        module = make().eval()
        randomise(module)
        outputs = ["boxes", "scores"] if isinstance(module, Detector) else ["output"]
        image = torch.from_numpy(image_of(size))
        # The older exporter with an open batch, the newer one as users get it.
        for suffix, options in (("17", {"dynamo": False, "opset_version": 17, "dynamic_axes": {"input": {0: "batch"}}}),
                                ("20", {"dynamo": True, "opset_version": 20, "external_data": False})):
            path = folder / f"{name}_{suffix}.onnx"
            torch.onnx.export(module, (image,), str(path), input_names=["input"], output_names=outputs, **options)
            shorten(path)
        if with_answers:
            with torch.no_grad():
                answers = module(image)
            answers = answers if isinstance(answers, tuple) else (answers,)
            np.savez_compressed(folder / f"{name}.npz", size=size, **dict(zip(outputs, map(np.asarray, answers))))


def shorten(path):
    """Drop what only a debugger reads: stack traces are half of the newer exporter's files."""
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    model.ClearField("metadata_props")
    onnx.save(model, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", type=Path, help="folder for the networks at their published sizes")
    full = parser.parse_args().full
    if full is None:
        write(NARROW, HERE, True)
    else:
        full.mkdir(parents=True, exist_ok=True)
        write(FULL, full, False)
