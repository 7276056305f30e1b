"""Addresses, tokens, what is made for all viewers together, the figures, and Prometheus' format."""
import re
import threading

import pytest
from live_doubles import HOSTILE, camera, presenter, result

from edgenext_deploy.errors import UsageError
from edgenext_deploy.live_view.address import ServeAddress, choose_token, page_address, parse_serve_address
from edgenext_deploy.live_view.board import Board
from edgenext_deploy.live_view.metrics import metrics_text
from edgenext_deploy.live_view.page import read_page
from edgenext_deploy.live_view.shared import Shared
from edgenext_deploy.live_view.state import LiveState
from edgenext_deploy.machine.tree import Tree
from edgenext_deploy.networks.stream_meter import StreamMeter


@pytest.mark.parametrize("text, host, port", [
    ("8080", "127.0.0.1", 8080), ("0", "127.0.0.1", 0), ("0.0.0.0:80", "0.0.0.0", 80), ("*:80", "0.0.0.0", 80),
    ("[::]:8080", "::", 8080), ("[::1]:8080", "::1", 8080), ("nano.local:65535", "nano.local", 65535)])
def test_addresses(text, host, port):
    assert parse_serve_address(text) == ServeAddress(host, port)


@pytest.mark.parametrize("text", ["", ":80", "65536", "-1", "80a", "::1:80", "http://x:80", "a b:80", "x:", "[x]:80",
                                  "\u0661", "8080\n", "x" * 300 + ":1"])
def test_what_is_no_address(text):
    with pytest.raises(UsageError, match="HOST"):
        parse_serve_address(text)


def test_tokens(monkeypatch):
    local, wide = ServeAddress("127.0.0.1", 1), ServeAddress("0.0.0.0", 1)
    monkeypatch.delenv("EDGENEXT_SERVE_TOKEN", raising=False)
    assert choose_token(local, None) is None and choose_token(local, "12345678") == "12345678"
    assert choose_token(ServeAddress("::1", 1), None) is choose_token(ServeAddress("localhost", 1), None) is None
    made = {choose_token(wide, None) for _ in range(5)}
    assert len(made) == 5 and all(len(token) >= 22 for token in made)
    monkeypatch.setenv("EDGENEXT_SERVE_TOKEN", "from-the-environment")
    assert choose_token(wide, None) == choose_token(local, None) == "from-the-environment"
    assert choose_token(wide, "given-instead") == "given-instead"
    for bad in ("", "short", "with space", "semi;colon", "a" * 201, "line\nline"):
        with pytest.raises(UsageError) as found:
            choose_token(wide, bad)
        assert not bad or bad not in str(found.value)


def test_the_address_to_type():
    assert page_address(ServeAddress("127.0.0.1", 8080), None) == "http://127.0.0.1:8080/"
    assert page_address(ServeAddress("::1", 8080), "tokentoken") == "http://[::1]:8080/?token=tokentoken"
    assert re.match(r"http://[^/]+:80/\?token=tokentoken$", page_address(ServeAddress("0.0.0.0", 80), "tokentoken"))


def test_what_is_shared_is_made_once_and_not_too_often():
    values, stop = iter(range(100)), threading.Event()
    shared = Shared(lambda: next(values), 0.2)
    found = [shared.newer(0, stop, 1.0) for _ in range(20)]
    assert set(found) == {(1, 0)} and shared.made == 1
    assert shared.newer(1, stop, 0.05) is None and shared.made == 1
    assert shared.newer(1, stop, 1.0) == (2, 1)
    nothing = Shared(lambda: None, 0.0)
    assert nothing.newer(0, stop, 0.05) is None
    stop.set()
    assert shared.newer(0, stop, 1.0) is None


def test_the_meter():
    now = [0.0]
    meter = StreamMeter(4, lambda: now[0])
    assert meter.fps() == 0.0 and meter.percentiles(0.5) == [None]
    for latency in (100.0, 4.0, 1.0, 3.0, 2.0):
        now[0] += 0.1
        meter.add(latency)
    assert meter.fps() == pytest.approx(10.0)
    assert meter.percentiles(0.0, 0.5, 0.95, 1.0) == [1.0, 2.0, 4.0, 4.0]
    assert (meter.max_ms, meter.count, meter.total_ms) == (100.0, 5, 110.0)
    now[0] += 2.5
    assert meter.fps() == 0.0


def state_document(label="cat"):
    state = LiveState(presenter(label))
    state.camera = camera()
    for latency in (10.0, 20.0, 30.0):
        state.show(result(1, latency), False)
    return dict(state.document(), temperatures_c={"GPU-therm": 41.5, 'a"b\\c\nd': 1.0}, power_mode="MAXN")


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)\Z')


def parse_metrics(text):
    """Return name and labels of each sample with its value, as the format's description has it."""
    assert text.endswith("\n")
    types, found = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split(" ")[2:]
            assert kind in ("counter", "gauge", "summary") and name not in types
            types[name] = kind
        elif not line.startswith("# HELP "):
            name, labels, value = SAMPLE.match(line).groups()
            base = re.sub("_(sum|count)$", "", name) if re.sub("_(sum|count)$", "", name) in types else name
            assert types[base] != "counter" or name.endswith("_total")
            assert (name, labels) not in found
            found[name, labels] = float(value)
    return found


@pytest.mark.parametrize("label", ["cat", HOSTILE])
def test_metrics_are_what_prometheus_reads(label):
    found = parse_metrics(metrics_text(state_document(label), 3, 60.0, 2))
    assert found["edgenext_frames_captured_total", None] == 7 and found["edgenext_viewers", None] == 2
    assert found["edgenext_latency_seconds", '{quantile="0.5"}'] == 0.02
    assert found["edgenext_latency_seconds_count", None] == 3
    assert found["edgenext_latency_seconds_sum", None] == pytest.approx(0.06)
    assert found["edgenext_temperature_celsius", '{zone="GPU-therm"}'] == 41.5
    assert found["edgenext_power_mode_info", '{mode="MAXN"}'] == 1
    assert len([name for name, _ in found if name == "edgenext_temperature_celsius"]) == 2


def test_metrics_by_prometheus_itself():
    parser = pytest.importorskip("prometheus_client.parser")
    families = {family.name: family for family in parser.text_string_to_metric_families(
        metrics_text(state_document(HOSTILE), 3, 60.0, 2))}
    assert families["edgenext_latency_seconds"].type == "summary" and "edgenext_frames_captured" in families


def test_a_board_is_read_now_and_then(tmp_path):
    zone = tmp_path / "sys" / "class" / "thermal" / "thermal_zone0"
    status, now = tmp_path / "var" / "lib" / "nvpmodel", [0.0]
    for folder in (zone, status, tmp_path / "etc"):
        folder.mkdir(parents=True)
    (zone / "type").write_text("GPU-therm\n")
    (zone / "temp").write_text("41500\n")
    (status / "status").write_text("pmode:0001\n")
    (tmp_path / "etc" / "nvpmodel.conf").write_text("< POWER_MODEL ID=1 NAME=5W >\n")
    board = Board(Tree(str(tmp_path)), lambda: now[0])
    assert board.document() == {"temperatures_c": {"GPU-therm": 41.5}, "power_mode": "5W"}
    (zone / "temp").write_text("50000\n")
    assert board.document()["temperatures_c"] == {"GPU-therm": 41.5}
    now[0] = 3.0
    assert board.document()["temperatures_c"] == {"GPU-therm": 50.0}
    (zone / "temp").write_text("-256000\n")  # off
    now[0] = 6.0
    assert board.document()["temperatures_c"] == {}
    assert Board(Tree(str(tmp_path / "none"))).document() == {"temperatures_c": {}, "power_mode": None}


def test_the_policy_names_the_script_and_the_style():
    page = read_page()
    assert len(re.findall("sha256-", page.policy)) == 2
    assert page.html.count(b"<script>") == page.html.count(b"<style>") == 1
    assert b" onclick=" not in page.html and b" style=" not in page.html  # the policy would keep them from working
