"""Operators that TensorRT takes for plugins: NVIDIA's own by name, and those that a user says the device has."""
from collections.abc import Collection

from edgenext_deploy.artifacts.nms_plugin import OP
from edgenext_deploy.export.verdict.findings import UNVERIFIED
from edgenext_deploy.export.verdict.releases import Release
from edgenext_deploy.export.verdict.severities import ERROR, NOTE, WARNING, Problems

# Of github.com/NVIDIA/TensorRT, plugin/README.md. Which release has which is not in the table.
NVIDIAS = frozenset({
    "BatchedNMSDynamic_TRT", "BatchedNMS_TRT", "Clip_TRT", "CoordConvAC", "CropAndResize", "CropAndResizeDynamic",
    "CustomEmbLayerNormPluginDynamic", "CustomFCPluginDynamic", "CustomGeluPluginDynamic",
    "CustomQKVToContextPluginDynamic", "CustomSkipLayerNormPluginDynamic", "DecodeBbox3DPlugin",
    "DetectionLayer_TRT", "DisentangledAttention_TRT", "EfficientNMS_Explicit_TF_TRT",
    "EfficientNMS_Implicit_TF_TRT", "EfficientNMS_ONNX_TRT", "FlattenConcat_TRT", "GenerateDetection_TRT",
    "GridAnchorRect_TRT", "GridAnchor_TRT", "InstanceNormalization_TRT", "LReLU_TRT", "ModulatedDeformConv2d",
    "MultilevelCropAndResize_TRT", "MultilevelProposeROI_TRT", "MultiscaleDeformableAttnPlugin_TRT",
    "NMSDynamic_TRT", "NMS_TRT", "Normalize_TRT", "PillarScatterPlugin", "PriorBox_TRT", "ProposalDynamic",
    "ProposalLayer_TRT", "PyramidROIAlign_TRT", "ROIAlign_TRT", "RPROI_TRT", "Region_TRT", "Reorg_TRT",
    "ResizeNearest_TRT", "SpecialSlice_TRT", "VoxelGeneratorPlugin"})


def plugin_problems(op: str, release: Release, users: Collection[str]) -> Problems | None:
    """Return what is known of an operator as a plugin; None if it is none.

    Args:
        op: operator type; the parsers look plugins up by it, whatever the node's domain.
        release: to judge for.
        users: operators of plugin libraries that the user says the device loads.
    """
    if op in users:
        return iter([(UNVERIFIED, "a plugin of yours")])
    if op == OP:
        return _nms_plugin(release)
    if op in NVIDIAS:
        return _nvidias(release)
    return None


def _nvidias(release: Release) -> Problems:
    if release.is_rtx:
        yield ERROR, "a plugin of TensorRT that TensorRT-RTX does not have"
    else:
        yield UNVERIFIED, "a plugin of TensorRT; whether this release has it is not documented here"


def _nms_plugin(release: Release) -> Problems:
    """Judge by NVIDIA/TensorRT's release notes: added in 8.0.1, deprecated in 10.12, not among those removed in 11.0.

    For TensorRT-RTX 1.7.1 by its own list of plugins.
    """
    if release.is_rtx:
        yield ERROR, "a plugin of TensorRT that TensorRT-RTX does not have"
    elif release.before(8, 4):
        yield WARNING, ("a plugin of TensorRT, reported not to work on a Jetson Nano in 8.0.1 (NVIDIA/TensorRT issue "
                        "1538) and to give wrong scores in 8.2.1; the self-test tells")
    elif release.before(10, 12):
        yield NOTE, "a plugin of TensorRT: its plugin library must be there, and its plugins registered before parsing"
    elif release.before(11):
        yield WARNING, "a plugin of TensorRT, deprecated since 10.12"
    else:
        yield WARNING, "a plugin of TensorRT, deprecated since 10.12; 11.0 does not name it among those it removed"
