"""Work on a cluster, on a double of Ray: parts come in order, none is lost, nodes that cannot work are left out."""
import pytest
from doubles.ray_double import Cluster

from edgenext_deploy.cluster import on_ray
from edgenext_deploy.errors import BadInputError, IncompatibleError, MissingRuntimeError, UsageError

CPU, GPU = {"CPU": 4.0}, {"CPU": 4.0, "GPU": 2.0}
ITEMS = list(range(50))
SQUARES = [item * item for item in ITEMS]


class Squares:
    description = "squares"

    def __init__(self, fails_at=None):
        self._fails_at = fails_at

    def results(self, items):
        for item in items:
            if item == self._fails_at:
                raise BadInputError("no number", "give one")
            yield item * item


class Never:
    def __init__(self, error):
        raise error


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(on_ray, "PART", 4)


def workers(**options):
    notes = []
    return on_ray.RayWorkers("auto", options.pop("worker", Squares), options.pop("made_of", ()), note=notes.append,
                             **options), notes


def test_results_come_in_order_from_all_nodes(monkeypatch):
    cluster = Cluster(a=CPU, b=CPU, head={"CPU": 0.0}).install(monkeypatch)
    made, notes = workers()
    assert made.first_description() == "squares"
    assert list(made.results(ITEMS)) == SQUARES and made.repeated == 0 and notes == []
    assert cluster.started == [("a", 0), ("b", 0)]
    assert {node for node, method in cluster.calls if method == "results"} == {"a", "b"}
    assert list(workers()[0].results([])) == []


def test_a_part_has_whole_batches(monkeypatch):
    cluster = Cluster(a=CPU).install(monkeypatch)
    for batch, parts in ((1, 13), (2, 7), (3, 5), (50, 1)):
        del cluster.calls[:]
        assert list(workers()[0].results(ITEMS, batch)) == SQUARES
        assert cluster.calls.count(("a", "results")) == parts


def test_what_died_is_done_again_and_counted(monkeypatch):
    deaths = iter([False, True, False, False, True])
    cluster = Cluster(a=CPU, b=CPU).install(monkeypatch)
    cluster.dies = lambda node, method: method == "results" and next(deaths, False)
    made, _ = workers()
    assert list(made.results(ITEMS)) == SQUARES
    assert made.repeated >= 2 and len(cluster.started) == 4


def test_a_node_that_goes_is_done_without_and_one_that_comes_is_taken(monkeypatch):
    cluster = Cluster(a=CPU, b=CPU).install(monkeypatch)
    made, _ = workers()
    found = made.results(ITEMS)
    seen = [next(found)]
    del cluster.nodes["a"]
    cluster.nodes["c"] = CPU
    assert seen + list(found) == SQUARES and made.repeated
    assert [node for node, _ in cluster.started] == ["a", "b", "c"]
    cluster.nodes.clear()
    with pytest.raises(MissingRuntimeError, match="no node"):
        workers()


def test_a_part_that_kills_every_worker_ends_the_run(monkeypatch):
    cluster = Cluster(a=CPU).install(monkeypatch)
    cluster.dies = lambda node, method: method == "results"
    with pytest.raises(MissingRuntimeError, match="3 workers died at the images from 0 on"):
        list(workers()[0].results(ITEMS))


def test_what_a_worker_raises_on_purpose_is_raised_here(monkeypatch):
    Cluster(a=CPU, b=CPU).install(monkeypatch)
    with pytest.raises(BadInputError, match="no number") as caught:
        list(workers(made_of=(9,))[0].results(ITEMS))
    assert caught.value.fix == "give one"
    with pytest.raises(UsageError, match="another file"):
        workers(worker=Never, made_of=(UsageError("another file"),))[0].first_description()


def test_a_node_that_cannot_open_the_engine_is_left_out_with_the_command_that_helps(monkeypatch):
    cluster = Cluster(a=CPU, b=CPU).install(monkeypatch)
    opened = on_ray._Actor.open
    asked = []

    def open_on(actor):
        asked.append(actor)
        if len(asked) == 1:
            raise IncompatibleError("no plan fits", "edgenext-build xxs.onnx")
        return opened(actor)

    monkeypatch.setattr(on_ray._Actor, "open", open_on)
    made, notes = workers()
    assert list(made.results(ITEMS)) == SQUARES
    assert notes == ["a node of the cluster takes no part (host-a): no plan fits; edgenext-build xxs.onnx"]
    assert {node for node, method in cluster.calls if method == "results"} == {"b"}
    with pytest.raises(IncompatibleError, match="no plan fits"):
        list(workers(worker=Never, made_of=(IncompatibleError("no plan fits"),))[0].results(ITEMS))


def test_a_node_whose_workers_die_while_they_start_is_left_out(monkeypatch):
    cluster = Cluster(a=CPU, b=CPU).install(monkeypatch)
    cluster.dies = lambda node, method: node == "a"
    made, notes = workers()
    assert list(made.results(ITEMS)) == SQUARES
    assert "host-a" in notes[0] and "3 workers died while they started" in notes[0]


def test_each_gpu_has_a_worker_of_its_own(monkeypatch):
    cluster = Cluster(a=CPU, b=GPU).install(monkeypatch)
    assert list(workers(on_gpus=True)[0].results(ITEMS)) == SQUARES
    assert cluster.started == [("b", 1), ("b", 1)]
    del cluster.nodes["b"]
    with pytest.raises(MissingRuntimeError, match="has a GPU"):
        workers(on_gpus=True)


def test_nodes_with_another_release_and_without_the_folder_are_refused(monkeypatch, tmp_path):
    Cluster(a=CPU).install(monkeypatch)
    for name, expected in (("edgenext_deploy.cluster.on_ray.__version__", r"edgenext-deploy 9\.9 and Pillow"),
                           ("PIL.__version__", r"edgenext-deploy .* and Pillow 9\.9")):
        with monkeypatch.context() as patch:
            patch.setattr(name, "9.9")
            made, _ = workers()
        with pytest.raises(UsageError, match="a node of the cluster has .*this machine " + expected):
            made.first_description()
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    made, _ = workers()
    gone.rmdir()
    with pytest.raises(UsageError, match="no folder"):
        made.first_description()
