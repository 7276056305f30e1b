"""Shared set-up. Also loaded under Python 3.6, so whatever a workstation has is imported inside."""
import os
import sys

import pytest

# Helper modules lie in this folder.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture(scope="session")
def nano_export(tmp_path_factory):
    """Return a function from a variant's name to its export for nano with the golden parameters, made once."""
    from golden_exports import export_golden

    done = {}

    def export(variant):
        if variant not in done:
            done[variant] = export_golden(variant, tmp_path_factory.mktemp(variant), fp16=True)
        return done[variant]

    return export
