"""Latency and accuracy of engines: interleaved measurement, its records and reports, and ``edgenext-bench``."""
from typing import TYPE_CHECKING

from edgenext_deploy.lazy_names import lazy_names

if TYPE_CHECKING:
    from edgenext_deploy.benchmarks.accuracy.evaluate import Evaluation, evaluate
    from edgenext_deploy.benchmarks.hardware.sensor import Sensor
    from edgenext_deploy.benchmarks.hardware.sensor_kinds import SensorKind, register_sensor
    from edgenext_deploy.benchmarks.latency.run import EngineFailedError
    from edgenext_deploy.benchmarks.latency_report import LatencyRecord
    from edgenext_deploy.benchmarks.measuring.measurement import LatencyReport, measure, read_report
    from edgenext_deploy.benchmarks.racing.processors import RaceResult, race
    from edgenext_deploy.benchmarks.report.columns import Column, register_column

__all__ = [
    "Column", "EngineFailedError", "Evaluation", "LatencyRecord", "LatencyReport", "RaceResult", "Sensor", "SensorKind",
    "evaluate", "measure", "race", "read_report", "register_column", "register_sensor"]

lazy_names(__name__, {
    "Column": "edgenext_deploy.benchmarks.report.columns",
    "EngineFailedError": "edgenext_deploy.benchmarks.latency.run",
    "Evaluation": "edgenext_deploy.benchmarks.accuracy.evaluate",
    "LatencyRecord": "edgenext_deploy.benchmarks.latency_report",
    "LatencyReport": "edgenext_deploy.benchmarks.measuring.measurement",
    "RaceResult": "edgenext_deploy.benchmarks.racing.processors",
    "Sensor": "edgenext_deploy.benchmarks.hardware.sensor",
    "SensorKind": "edgenext_deploy.benchmarks.hardware.sensor_kinds",
    "evaluate": "edgenext_deploy.benchmarks.accuracy.evaluate",
    "measure": "edgenext_deploy.benchmarks.measuring.measurement",
    "race": "edgenext_deploy.benchmarks.racing.processors",
    "read_report": "edgenext_deploy.benchmarks.measuring.measurement",
    "register_column": "edgenext_deploy.benchmarks.report.columns",
    "register_sensor": "edgenext_deploy.benchmarks.hardware.sensor_kinds",
})
