"""What the verdict finds: one thing about one node, one release's verdict, and equal findings put together."""
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

# It should run: the parser has it, and no document says so; nobody here can know.
UNDOCUMENTED, UNVERIFIED = "undocumented", "unverified"
# How many nodes a summary or a message names; the others are counted.
MAX_NODES_LISTED = 3


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing to know about one node, or about the whole model where `node` and `op` are empty.

    Attributes:
        node: the node's name, or its first output; inside a subgraph after ``outer node/``.
        op: operator type.
        severity: ``error`` (the release cannot run it, or gets it wrong), ``warning``, ``note``, ``undocumented`` or
            ``unverified``.
        reason: one clause, without the node's and the release's name.
    """

    node: str
    op: str
    severity: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What one TensorRT release makes of a model.

    Attributes:
        release: as asked for, ``10.13``.
        documented_as: the documented release that stands for it, ``10.1``.
        supported: no finding is an error.
        findings: those about the model first, then node by node.
        said_by: ``table``, or NVIDIA's own ``parser`` or ``builder``.
    """

    release: str
    documented_as: str
    supported: bool
    findings: tuple[Finding, ...]
    said_by: str = "table"

    @property
    def state(self) -> str:
        """``supported``, ``not supported``, ``not documented`` or ``not verified``; see docs/operators.md."""
        if not self.supported:
            return "not supported"
        found = {finding.severity for finding in self.findings}
        return next((f"not {word[2:]}" for word in (UNVERIFIED, UNDOCUMENTED) if word in found), "supported")

    @property
    def who(self) -> str:
        """Who said it: ``table``, ``parser``, ``builder``, or ``nobody`` for what is not verified."""
        return "nobody" if self.state == "not verified" else self.said_by


@dataclasses.dataclass(frozen=True)
class Group:
    """Findings that differ only in node and release."""

    op: str
    severity: str
    reason: str
    nodes: tuple[str, ...]
    releases: tuple[str, ...]

    def __str__(self) -> str:
        if not self.op:
            return self.reason
        more = f" and {len(self.nodes) - 1} more" if len(self.nodes) > 1 else ""
        return f"{self.op} node {self.nodes[0]!r}{more}: {self.reason}"


def group_findings(verdicts: Iterable[Verdict]) -> list[Group]:
    """Put findings together that differ only in node and release, in order of first appearance."""
    nodes: dict[tuple[str, str, str], dict[str, None]] = {}
    releases: dict[tuple[str, str, str], dict[str, None]] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            key = (finding.op, finding.severity, finding.reason)
            nodes.setdefault(key, {})[finding.node] = None
            releases.setdefault(key, {})[verdict.release] = None
    return [Group(*key, tuple(nodes[key]), tuple(releases[key])) for key in nodes]


def summary(verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    """Return the verdicts as JSON data for a manifest: equal findings once, with a count of nodes."""
    return {release: {
        "supported": verdict.supported,
        "state": verdict.state,
        "said_by": verdict.who,
        "documented_as": verdict.documented_as,
        "findings": [{
            "severity": group.severity,
            "op": group.op,
            "reason": group.reason,
            "nodes": [node for node in group.nodes[:MAX_NODES_LISTED] if node],
            "count": len(group.nodes),
        } for group in group_findings([verdict])],
    } for release, verdict in verdicts.items()}
