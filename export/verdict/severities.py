"""How a rule says what it found."""
from collections.abc import Callable, Iterator

from edgenext_deploy.export.verdict.nodes import NodeView
from edgenext_deploy.export.verdict.releases import Release

ERROR = "error"
WARNING = "warning"
NOTE = "note"

Problems = Iterator[tuple[str, str]]
Rule = Callable[[NodeView, Release], Problems]
