"""From an ONNX file to a TensorRT plan. Importing this loads no TensorRT; the names are imported when first used."""
from typing import TYPE_CHECKING

from edgenext_deploy.lazy_names import lazy_names

if TYPE_CHECKING:
    from edgenext_deploy.engines.build_records import BuildReport
    from edgenext_deploy.engines.inspection import Inspection, inspect_plan
    from edgenext_deploy.engines.onnx_to_plan import BuiltPlan, build_plan
    from edgenext_deploy.engines.precision.proof import Proof
    from edgenext_deploy.engines.selftest.engine_test import EngineTest, test_engine
    from edgenext_deploy.engines.selftest.golden_test import SelfTest

__all__ = [
    "BuildReport", "BuiltPlan", "EngineTest", "Inspection", "Proof", "SelfTest", "build_plan", "inspect_plan",
    "test_engine"]

lazy_names(__name__, {
    "BuildReport": "edgenext_deploy.engines.build_records",
    "BuiltPlan": "edgenext_deploy.engines.onnx_to_plan",
    "EngineTest": "edgenext_deploy.engines.selftest.engine_test",
    "Inspection": "edgenext_deploy.engines.inspection",
    "Proof": "edgenext_deploy.engines.precision.proof",
    "SelfTest": "edgenext_deploy.engines.selftest.golden_test",
    "build_plan": "edgenext_deploy.engines.onnx_to_plan",
    "inspect_plan": "edgenext_deploy.engines.inspection",
    "test_engine": "edgenext_deploy.engines.selftest.engine_test",
})
