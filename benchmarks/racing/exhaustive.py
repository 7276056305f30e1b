"""How good a race's winner is: races, each against a measurement of everything that could have won.

``python -m edgenext_deploy.benchmarks.racing.exhaustive xxs.race --races 10``
"""
import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import click

from edgenext_deploy.artifacts.manifest import ONNX_SUFFIX
from edgenext_deploy.benchmarks.racing.processors import every_entrant, race
from edgenext_deploy.bundle.reading import open_bundle
from edgenext_deploy.engines.racing.heats import HeatEngine, run_heat
from edgenext_deploy.scratch import scratch_folder

# What is this much slower in a short measurement of everything is not measured longer.
_HOPELESS = 1.2


class Comparison(NamedTuple):
    """Races and the truth.

    Attributes:
        best: name of the fastest of all, measured in turns.
        winners: of each race.
        regrets: time of each race's winner relative to the best, 1.0 for the best itself.
        ratios: time of everything relative to the best, by name.
    """

    best: str
    winners: Tuple[str, ...]
    regrets: Tuple[float, ...]
    ratios: Dict[str, float]


def compare_with_exhaustive(bundle: str, races: int = 10, runtimes: Sequence[str] = (),
                            threads: Sequence[int] = (), budget_min: Optional[float] = None,
                            duration_s: float = 10.0) -> Comparison:
    """Race several times, then measure everything that could have won, in turns.

    Args:
        bundle: path of the bundle.
        races: their number.
        runtimes: as for `race`.
        threads: as for `race`.
        budget_min: as for `race`, in minutes.
        duration_s: seconds of measurement of each that is near the fastest.
    """
    opened = open_bundle(bundle)
    winners: List[str] = []
    with scratch_folder() as folder:
        for _ in range(races):
            found = race(bundle, os.path.join(folder, "winner" + ONNX_SUFFIX), runtimes=runtimes,
                         threads=threads, budget_min=budget_min, force=True)
            winners.append(found.table.winner)
        for name in opened.manifests:
            opened.write(name, os.path.join(folder, name + ONNX_SUFFIX))
        engines = [HeatEngine(one.name, os.path.join(folder, one.candidate + ONNX_SUFFIX), one.options)
                   for one in every_entrant(opened, runtimes, threads)]
        rough = run_heat(engines, duration_s / 10)
        fastest = min(found.ratio for found in rough.measured.values())
        near = [engine for engine in engines if engine.name in winners or (
            engine.name in rough.measured and rough.measured[engine.name].ratio <= _HOPELESS * fastest)]
        exact = run_heat(near, duration_s)
    ratios = {name: found.ratio for name, found in {**rough.measured, **exact.measured}.items()}
    best = min(exact.measured, key=lambda name: exact.measured[name].ratio)
    unit = exact.measured[best].ratio
    return Comparison(best, tuple(winners), tuple(exact.measured[name].ratio / unit for name in winners),
                      {name: ratio / unit for name, ratio in sorted(ratios.items(), key=lambda item: item[1])})


@click.command()
@click.argument("bundle")
@click.option("--races", default=10, show_default=True)
@click.option("--runtime", "runtimes", multiple=True)
@click.option("--threads", multiple=True, type=click.IntRange(min=1))
@click.option("--budget", "budget_min", type=float)
def main(bundle: str, races: int, runtimes: Tuple[str, ...], threads: Tuple[int, ...], budget_min: Optional[float],
         ) -> None:
    """Print the winners of races on BUNDLE, and how far each is from the best of everything."""
    found = compare_with_exhaustive(bundle, races, runtimes, threads, budget_min)
    for winner, regret in zip(found.winners, found.regrets):
        click.echo("{:.3f}  {}".format(regret, winner))
    click.echo("best: {}; within 2 %: {} of {}".format(
        found.best, sum(regret <= 1.02 for regret in found.regrets), len(found.regrets)))
    for name, ratio in found.ratios.items():
        click.echo("  {:.3f}  {}".format(ratio, name))


if __name__ == "__main__":
    main()
