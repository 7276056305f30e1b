"""A profile for people: where the time goes by kind, by stage and by block, and the slowest layers."""
from typing import List, TextIO

from edgenext_deploy.benchmarks.profile.layer_times import Profile, Share
from edgenext_deploy.benchmarks.report.printing import Table, console_for, milliseconds, print_line, print_table

_BAR = 24
_SLOWEST = 12
HEADINGS = ("layers", "ms", "share", "")


def share_cells(share: Share, largest: float) -> List[str]:
    """Return the cells of a sum, with a bar as long as its part of the largest."""
    bar = "█" * round(_BAR * share.share / largest) if largest else ""
    return [share.name, str(share.layers), milliseconds(share.ms), "{:.1f} %".format(100 * share.share), bar]


def summary(profile: Profile) -> List[str]:
    """Return what the sums depend on, in sentences."""
    session = profile.session
    threads = session.get("threads")
    return ["{} {}, {}{}: median of {} inferences. Layers {} ms, inference {} ms; the profiler slows both, so "
            "neither is a latency to report.".format(
                session.get("runtime"), session.get("version"), session.get("provider"),
                "" if threads is None else ", {} thread{}".format(threads, "" if threads == 1 else "s"),
                profile.runs, milliseconds(profile.layers_ms), milliseconds(profile.wall_ms))]


def slowest(profile: Profile, count: int = _SLOWEST) -> List[List[str]]:
    """Return the cells of the slowest layers: name, kind, block, milliseconds, share."""
    total_ms = profile.layers_ms
    layers = sorted(profile.layers, key=lambda layer: -layer.ms)[:count]
    return [[layer.name, layer.kind, layer.block, milliseconds(layer.ms),
             "{:.1f} %".format(100 * layer.ms / total_ms if total_ms else 0.0)] for layer in layers]


def print_profile(profile: Profile, stream: TextIO) -> None:
    """Print the tables."""
    console = console_for(stream)
    for title, shares in (("by kind", profile.by_kind), ("by stage", profile.by_stage),
                          ("by block", profile.by_block)):
        largest = max(share.share for share in shares)
        print_table(console, Table("{}, {}".format(profile.engine.file, title), ("", *HEADINGS),
                                   [share_cells(share, largest) for share in shares], (0, 4)))
    print_table(console, Table("slowest layers", ("layer", "kind", "block", "ms", "share"), slowest(profile),
                               (0, 1, 2)))
    for line in summary(profile):
        print_line(console, line)

