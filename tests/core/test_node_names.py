import pytest

from edgenext_deploy import node_names
from edgenext_deploy.node_names import NetworkPart, kind_of, kind_of_several, part_of, part_of_several


@pytest.fixture
def exported(request):
    """Return a function from a variant's name to its export for nano, where a workstation's libraries are."""
    for name in ("onnx", "torch"):
        pytest.importorskip(name)
    return request.getfixturevalue("nano_export")


@pytest.mark.parametrize("name, place", [
    ("stages.2.5.xca.scores", NetworkPart("stages.2", "stages.2.5")),
    ("stages.0.1.mlp.norm/variance", NetworkPart("stages.0", "stages.0.1")),
    ("downsample_layers.3.conv", NetworkPart("downsample_layers.3", "downsample_layers.3")),
    ("head.fc", NetworkPart("head", "head")),
    ("head", NetworkPart("head", "head")),
    ("stem.conv", NetworkPart("stem", "stem")),
    ("backbone.stages.2.5.xca.scores", NetworkPart("stages.2", "stages.2.5")),
    ("backbone.downsample_layers.0.norm/mean", NetworkPart("downsample_layers.0", "downsample_layers.0")),
    ("heads.3.predict.dwconv", NetworkPart("heads.3", "heads.3")),
    ("pool", NetworkPart("head", "head")), ("classes/index", NetworkPart("head", "head")),
    ("Gelu", None), ("ReorderInput", None), ("", None),
])
def test_place(name, place):
    assert part_of(name) == place


@pytest.mark.parametrize("name, operator, kind", [
    ("stages.0.1.dwconv.conv", "Conv", node_names.DEPTHWISE),
    ("stages.1.2.split_convs.convs.0", "Conv", node_names.DEPTHWISE),
    ("stages.1.0.conv2_kxk.conv", "Conv", node_names.DEPTHWISE),
    ("stages.2.1.conv_kxk.conv", "Conv", node_names.CONVOLUTION),
    ("downsample_layers.0.conv", "Conv", node_names.CONVOLUTION),
    ("stages.0.1.mlp.pwconv1", "Conv", node_names.POINTWISE),
    ("stages.1.2.xca.qkv", "Conv", node_names.POINTWISE),
    ("stages.2.1.conv_1x1", "Conv", node_names.POINTWISE),
    ("head", "Gemm", node_names.POINTWISE),
    ("stages.0.1.mlp.norm/mean", "ReduceMean", node_names.NORM),
    ("stages.1.2.norm_xca", "Div", node_names.NORM),
    ("stages.1.2.xca.normalise/sum", "ReduceSum", node_names.ATTENTION),
    ("stages.1.2.xca.softmax", "Softmax", node_names.ATTENTION),
    ("stages.1.2.xca.heads", "Reshape", node_names.REFORMAT),
    ("stages.1.2.split_convs.split", "Split", node_names.REFORMAT),
    ("stages.0.1.mlp.act/erf", "Erf", node_names.ACTIVATION),
    ("Gelu", "Gelu", node_names.ACTIVATION),
    ("stages.0.1.skip", "Add", node_names.ELEMENTWISE),
    ("ReorderOutput", "ReorderOutput", node_names.REFORMAT),
])
def test_kind(name, operator, kind):
    assert kind_of(name, operator) == kind


@pytest.mark.parametrize("name, kind", [
    ("stages.0.1.dwconv.conv", node_names.DEPTHWISE), ("stages.0.1.mlp.pwconv1", node_names.POINTWISE),
    ("stages.1.2.xca.scores", node_names.ATTENTION), ("stages.0.1.mlp.norm/mean", node_names.NORM),
    ("stages.0.1.mlp.act/erf", node_names.ACTIVATION), ("stages.0.1.skip", node_names.ELEMENTWISE),
    ("Reformatting CopyNode for Input Tensor 0 to stages.0.1.dwconv.conv", node_names.REFORMAT),
    ("myelin_17", node_names.OTHER),
])
def test_kind_by_the_name_alone_as_tensorrt_gives_it(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize("name, operator, kind", [
    ("final_conv.conv", "Conv", node_names.POINTWISE),
    ("stages.1.2.xca.normalise/norm", "Sqrt", node_names.ATTENTION),
    ("stages.2.1.transformer.0.attn.split", "Split", node_names.REFORMAT),
    ("extra.0.dwconv", "Conv", node_names.DEPTHWISE), ("extra.0.pwconv", "Conv", node_names.POINTWISE),
    ("extra.0.act", "Relu", node_names.ACTIVATION), ("extra.3.pool", "GlobalAveragePool", node_names.ELEMENTWISE),
    ("heads.0.predict.pwconv", "Conv", node_names.POINTWISE), ("heads.0.predict.act", "Relu", node_names.ACTIVATION),
    ("heads.0.predict.dwconv", "Conv", node_names.DEPTHWISE), ("heads.0.predict.pwconv2", "Conv", node_names.POINTWISE),
    ("heads.2.predict.dwconv", "Conv", node_names.DEPTHWISE), ("heads.2.predict.pwconv", "Conv", node_names.POINTWISE),
    ("heads.5.predict.pwconv", "Conv", node_names.POINTWISE), ("heads.5.cells_last", "Transpose", node_names.REFORMAT),
    ("aspp.branches.0.pwconv", "Conv", node_names.POINTWISE),
    ("aspp.branches.2.conv_kxk", "Conv", node_names.CONVOLUTION),
    ("aspp.branches.2.act", "Relu", node_names.ACTIVATION), ("aspp.project", "Conv", node_names.POINTWISE),
    ("classifier", "Conv", node_names.POINTWISE),
])
def test_kinds_in_the_heads_are_the_same_with_the_operator_and_by_the_name_alone(name, operator, kind):
    assert kind_of(name, operator) == kind
    assert kind_of(name) == kind


def test_a_fused_layer_is_of_its_heaviest_node_and_of_the_part_that_holds_all():
    nodes = ("stages.0.1.mlp.pwconv1", "stages.0.1.mlp.act/erf", "stages.0.1.mlp.act")
    assert kind_of_several(nodes) == node_names.POINTWISE
    assert part_of_several(nodes) == NetworkPart("stages.0", "stages.0.1")
    assert part_of_several(("stages.0.1.skip", "stages.0.2.dwconv.conv")) == NetworkPart(
        "stages.0", "stages.0 (several)")
    assert part_of_several(("stages.0.2.skip", "downsample_layers.1.norm")) == NetworkPart("several", "several")
    assert part_of_several(("myelin_17",)) is None


@pytest.mark.parametrize("variant", ["xxs", "mobilevit_xxs", "mobilevitv2_050"])
def test_every_node_of_an_export_has_a_place(exported, variant):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(exported(variant).onnx_path).graph
    assert len(graph.node) > 200
    assert [node.name for node in graph.node if part_of(node.name) is None] == []
    # By the name alone, as TensorRT gives it, the kind is the same.
    assert [node.name for node in graph.node if kind_of(node.name) != kind_of(node.name, node.op_type)] == []
    # The weights say what a convolution is.
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv":
            _, per_group, *kernel = shapes[node.input[1]]
            groups = max([item.i for item in node.attribute if item.name == "group"] or [1])
            kind = (node_names.DEPTHWISE if groups > 1 and per_group == 1 else
                    node_names.POINTWISE if kernel == [1, 1] else node_names.CONVOLUTION)
            assert (node.name, kind_of(node.name)) == (node.name, kind)


@pytest.mark.parametrize("name, kind", [
    ("stages.0.1.mlp.pwconv1_nchwc", node_names.POINTWISE), ("stages.0.1.dwconv.conv_nchwc", node_names.DEPTHWISE),
    ("stages.1.2.xca.split_value", node_names.REFORMAT), ("stages.1.2.skip_xca", node_names.ELEMENTWISE),
    ("/stages.0/stages.0.1/dwconv/Conv", node_names.DEPTHWISE), ("Transpose_12", node_names.REFORMAT)])
def test_the_innermost_known_word_decides_whatever_a_runtime_appends(name, kind):
    assert kind_of(name) == kind


def test_a_lowering_may_have_words_of_its_own(monkeypatch):
    monkeypatch.setattr(node_names, "_WORDS", dict(node_names._WORDS))
    assert kind_of("stages.0.0.shuffle") == node_names.ELEMENTWISE
    node_names.register_words(node_names.REFORMAT, "shuffle", "split")
    assert kind_of("stages.0.0.shuffle") == kind_of("stages.0.0.shuffle2.conv") == node_names.REFORMAT
    with pytest.raises(ValueError, match="the word 'dwconv' is registered as depthwise"):
        node_names.register_words(node_names.POINTWISE, "dwconv")
    with pytest.raises(ValueError, match="unknown kind 'shuffling'"):
        node_names.register_words("shuffling", "shuffle")
