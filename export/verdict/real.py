"""NVIDIA's own parser and builder as the judge: TensorRT-RTX where it is installed, and a full TensorRT with a GPU."""
import dataclasses
import importlib.util
import os
from collections.abc import Callable

from edgenext_deploy.errors import MissingRuntimeError, UsageError
from edgenext_deploy.export.checks.rtx import SMS, RtxReport, build_with_rtx
from edgenext_deploy.export.verdict.findings import UNVERIFIED, Finding, Verdict
from edgenext_deploy.export.verdict.severities import ERROR, WARNING
from edgenext_deploy.install import install_command

# For parse and build together, where they are asked for.
_TIMEOUT_S = 120.0
# Where they are not: nobody waits long for what they did not ask for. The parser takes two bytes for one of the file.
_UNASKED_TIMEOUT_S = 8.0
_UNASKED_BYTES = 128 << 20
FULL = "tensorrt"
Ask = Callable[..., RtxReport]


def installed() -> bool:
    """Whether TensorRT-RTX is installed."""
    return importlib.util.find_spec("tensorrt_rtx") is not None


def require_installed() -> None:
    """Raise MissingRuntimeError unless TensorRT-RTX is installed."""
    if not installed():
        raise MissingRuntimeError("NVIDIA's parser was asked for, and tensorrt_rtx is not installed",
                                  install_command("rtx"))


def check_capability(sm: str) -> str:
    """Return a compute capability as TensorRT-RTX has it, ``86`` for ``8.6``.

    Raises:
        UsageError: TensorRT-RTX does not build for it.
    """
    plain = sm.replace(".", "")
    if plain not in SMS:
        raise UsageError(f"TensorRT-RTX does not build for compute capability {sm}", "choose one of: " + ", ".join(SMS))
    return plain


def ask(path: str, sm: str | None = None, *, asked_for: bool = True, build: Ask = build_with_rtx) -> RtxReport:
    """Have TensorRT-RTX parse a file, and build it for a compute capability, in a child process.

    Args:
        path: of the file.
        sm: compute capability without the dot, None to parse alone.
        asked_for: by the user; otherwise files over 128 MiB are left out, and the child has 8 s.
        build: `build_with_rtx`, or a stand-in.
    """
    size_bytes = os.path.getsize(path)
    if not asked_for and size_bytes > _UNASKED_BYTES:
        return RtxReport(False, False, reason=f"the file has {size_bytes >> 20} MiB; --real asks it all the same, "
                         f"with some {2 * size_bytes / (1 << 30):.1f} GiB of memory")
    return build(path, (sm,) if sm else (), _TIMEOUT_S if asked_for else _UNASKED_TIMEOUT_S)


def ask_full(path: str, *, asked_for: bool = True, build: Ask = build_with_rtx) -> tuple[str, RtxReport] | None:
    """Have the TensorRT of this machine parse a file; return its release, such as ``10.3``, and what it said.

    None where there is none, or it makes no builder, as without a GPU. Arguments as of `ask`.
    """
    if importlib.util.find_spec(FULL) is None or (not asked_for and os.path.getsize(path) > _UNASKED_BYTES):
        return None
    report = build(path, (), _TIMEOUT_S if asked_for else _UNASKED_TIMEOUT_S, package=FULL)
    return (".".join(report.version.split(".")[:2]), report) if report.available else None


def verdict_of(report: RtxReport, table: Verdict, title: str = "TensorRT-RTX") -> Verdict:
    """Return what NVIDIA's code says, with the table's findings as far as they do not contradict it."""
    said_by = "builder" if report.builds or (report.parsed and not report.ok) else "parser"
    kept = tuple(finding if finding.severity != ERROR else dataclasses.replace(finding, severity=WARNING)
                 for finding in table.findings)
    if not report.answered:
        silence = Finding("", "", UNVERIFIED, f"{title} {report.version} gave no answer: {report.reason}")
        return dataclasses.replace(table, findings=(silence, *table.findings))
    if report.ok:
        return dataclasses.replace(table, supported=True, findings=kept, said_by=said_by)
    refusal = Finding("", "", ERROR, f"the {said_by} of {title} {report.version}: {report.reason}")
    return dataclasses.replace(table, supported=False, findings=(refusal, *kept), said_by=said_by)
