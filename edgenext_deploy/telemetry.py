"""Libraries that report to their makers are told not to, before they are imported.

ONNX Runtime from 1.31 on, where its maker's builds have it, sends usage over the network, keeps a database in the
user's cache and opens a file of a known name in the folder for temporary files (its own ``Privacy.md``).
"""
import os

_SWITCHES = {"ORT_DISABLE_TELEMETRY": "1"}


def disable_telemetry() -> None:
    """Set what is documented to turn telemetry off, in this process and its children; what the user set stays."""
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
