"""The table of targets holds together."""
import pytest

from edgenext_deploy.errors import UsageError
from edgenext_deploy.targets import TARGETS, get_target, refusal_of_mode

# The ONNX IR version that came with each opset (onnx's own release table); an older runtime refuses a newer one.
IR_OF_OPSET = {13: 7, 17: 8, 20: 9}


def test_nano_is_what_jetpack_4_6_has():
    nano = get_target("nano")
    assert (nano.compute_capability, nano.tensorrt, nano.opset, nano.ir_version) == ("5.3", ("8.2",), 13, 7)
    assert nano.precision_mode == "flag" and nano.shared_memory


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_row(name):
    target = TARGETS[name]
    assert target.name == name
    assert target.ir_version == IR_OF_OPSET[target.opset]
    assert target.layout in ("nchw", "tokens") and target.padding in ("node", "attribute")
    assert (target.precision_mode == "none") == (not target.tensorrt)
    if target.tensorrt:
        assert refusal_of_mode(target, target.precision_mode) is None
        assert float(target.compute_capability) >= 5.3


def test_the_nearest_name_is_suggested():
    with pytest.raises(UsageError, match="did you mean 'orin'"):
        get_target("orinn")
    with pytest.raises(UsageError) as caught:
        get_target("???")
    assert "did you mean" not in caught.value.message and "nano" in caught.value.fix
