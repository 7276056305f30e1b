import json

import pytest
from bench_doubles import make_hardware, make_reading, make_report, make_row

from edgenext_deploy.benchmarks import latency_report
from edgenext_deploy.benchmarks.commands.cli import bench_command
from edgenext_deploy.benchmarks.compare.repeat import repetition
from edgenext_deploy.benchmarks.latency_report import Mode
from edgenext_deploy.commands import entry
from edgenext_deploy.errors import UsageError


def row(name, p50_ms, **changes):
    made = make_row(name)
    return made._replace(latency=made.latency._replace(p50_ms=p50_ms), **changes)


def report(**latencies):
    return make_report(*[row(name, p50_ms) for name, p50_ms in latencies.items()])


def run(capsys, tmp_path, first, second, *options):
    paths = []
    for name, made in (("first.json", first), ("second.json", second)):
        path = tmp_path / name
        path.write_bytes(latency_report.dump(made))
        paths.append(str(path))
    with pytest.raises(SystemExit) as stopped:
        entry.run_command(bench_command, ["repeat", *paths, *options])
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def test_a_machine_that_is_slower_as_a_whole_changes_no_ratio():
    found = repetition(report(a=10.0, b=20.0, c=40.0), report(a=15.0, b=30.0, c=60.0))
    assert [pair.change for pair in found.pairs] == pytest.approx([0.0, 0.0, 0.0])
    assert [(engine.first_ms, engine.second_ms) for engine in found.engines] == [(10, 15), (20, 30), (40, 60)]
    assert found.beyond(1e-9) == () == found.left_out


def test_a_second_run_at_other_clocks_is_compared_too():
    def at(clock_mhz, **latencies):
        hardware = make_hardware(during=(make_reading(1.0, clocks_mhz={"cpu0": clock_mhz}),))
        return make_report(*[row(name, p50_ms, hardware=hardware) for name, p50_ms in latencies.items()])

    found = repetition(at(2100.0, a=10.0, b=20.0), at(1400.0, a=15.0, b=30.0))
    assert found.left_out == () and found.pairs[0].change == pytest.approx(0.0)
    locked = make_report(*[row(name, 10.0, hardware=make_hardware(clocks_locked=True)) for name in "ab"])
    with pytest.raises(UsageError, match="clocks locked against not locked"):
        repetition(report(a=10.0, b=20.0), locked)


def test_every_pair_is_compared_and_the_one_that_changed_most_comes_first():
    found = repetition(report(a=10.0, b=20.0, c=40.0), report(a=10.0, b=25.0, c=38.0))
    changes = {(pair.name, pair.other): pair.change for pair in found.pairs}
    assert changes == pytest.approx({("a", "b"): 0.25, ("a", "c"): 40 / 38 - 1, ("b", "c"): 25 / 19 - 1})
    assert (found.pairs[0].name, found.pairs[0].other) == ("b", "c")
    assert found.pairs[0].first == 0.5 and found.pairs[0].second == pytest.approx(25 / 38)
    assert [len(found.beyond(within)) for within in (0.01, 0.1, 0.26, 0.4)] == [3, 2, 1, 0]


def test_the_change_is_the_same_from_either_side():
    one, two = report(a=10.0, b=20.0), report(a=10.0, b=25.0)
    assert repetition(one, two).pairs[0].change == pytest.approx(repetition(two, one).pairs[0].change)
    turned = repetition(report(b=20.0, a=10.0), report(b=25.0, a=10.0))
    assert turned.pairs[0].change == pytest.approx(0.25)


def rounds(name, others, round_p50_ms):
    """Return a row of a run in turns, whose p50 is that of its rounds."""
    made = row(name, sorted(round_p50_ms)[len(round_p50_ms) // 2], interleaved_with=others)
    return made._replace(round_p50_ms=tuple(round_p50_ms))


def test_a_machine_whose_speed_jumps_between_rounds_moves_p50s_and_not_the_ratios_by_rounds():
    # b takes twice as long as a in all rounds but one, and the machine has two speeds, each about half of the time.
    # In the second run that one round decides in which of the two b's p50 lies.
    slow_first = [1.0] * 10 + [4.0] * 11
    first = make_report(rounds("a", ("b",), slow_first), rounds("b", ("a",), [2 * speed for speed in slow_first]))
    slow_second = [4.0] * 10 + [1.0] * 11
    second = make_report(rounds("a", ("b",), slow_second),
                         rounds("b", ("a",), [2 * speed for speed in slow_second[:-1]] + [8.0]))
    [pair] = repetition(first, second).pairs
    assert pair.paired and pair.change == pytest.approx(0.0)
    by_p50 = [make_report(*[row._replace(round_p50_ms=()) for row in report.records]) for report in (first, second)]
    [pair] = repetition(*by_p50).pairs
    assert not pair.paired and pair.change == pytest.approx(3.0)


def test_rows_that_are_not_alike_are_left_out_with_the_reason():
    first = make_report(row("a", 1.0), row("b", 2.0), row("c", 3.0), row("d", 4.0), row("e", 5.0), row("f", 6.0))
    other_file = row("c", 3.0)._replace(engine=latency_report.EngineFile("c", "00" * 32, 1, None))
    one_thread = row("d", 4.0, mode=Mode("wall", "none", None, None, 1))
    elsewhere = row("e", 5.0, device_found="x86_64, Another CPU")
    second = make_report(row("b", 2.0), row("a", 1.0), other_file, one_thread, elsewhere, row("g", 6.0))
    found = repetition(first, second)
    assert [engine.name for engine in found.engines] == ["a", "b"]
    assert dict(found.left_out) == {"c": "another engine file", "d": "threads 1 against 2",
                                    "e": "another machine: cpu: x86_64, Another CPU against cpu: x86_64, Some CPU",
                                    "f": "only in the first report", "g": "only in the second report"}


def test_one_engine_has_no_ratio():
    with pytest.raises(UsageError, match=r"1 found in both reports.*b: only in the second report"):
        repetition(report(a=1.0), report(a=1.0, b=2.0))


def test_the_command_prints_both_runs_and_the_ratios(capsys, tmp_path):
    code, out, err = run(capsys, tmp_path, report(s=20.0, xs=10.0), report(s=30.0, xs=15.3))
    assert (code, err) == (0, "")
    assert "20.00" in out and "30.00" in out and "+50.0 %" in out and "+53.0 %" in out
    assert "2.000 ×" in out and "1.961 ×" in out and "2.0 %" in out


def test_runs_that_disagree_are_exit_code_5_after_the_table(capsys, tmp_path):
    code, out, err = run(capsys, tmp_path, report(s=20.0, xs=10.0), report(s=20.0, xs=11.5))
    assert code == 5 and "11.50" in out
    assert "error: 1 of 1 ratios of engines changed by more than 10 %, s to xs by 15.0 %" in err
    assert run(capsys, tmp_path, report(s=20.0, xs=10.0), report(s=20.0, xs=11.5), "--within", "15.1")[0] == 0


def test_as_json(capsys, tmp_path):
    code, out, _ = run(capsys, tmp_path, report(s=20.0, xs=10.0), report(s=20.0, xs=11.5), "--json")
    document = json.loads(out)
    assert (code, document["kind"], document["agree"], document["within"]) == (5, "repetition", False, 0.1)
    assert document["engines"][1] == {"name": "xs", "first_ms": 10.0, "second_ms": 11.5}
    assert document["pairs"][0]["change"] == pytest.approx(0.15) and document["left_out"] == []
