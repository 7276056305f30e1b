"""A double of Ray, with what `cluster.on_ray` uses: nodes, actors on them, references, and deaths on request.

A call runs when it is waited for, in this process; arguments and results are pickled as on the way to a node. It
proves nothing about Ray: tests/real/test_ray.py has a real cluster.
"""
import pickle
import sys
import types


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class Cluster:
    """A cluster; `install` puts it in the place of Ray.

    Args:
        nodes: resources by the node's name.

    Attributes:
        nodes: change it to have nodes come and go.
        started: the node and GPUs of each actor.
        dies: asked before each call with the node's name and the name of the method; True kills the worker.
        calls: the node and method of each call.
    """

    def __init__(self, **nodes):
        self.nodes, self.started, self.calls = nodes, [], []
        self.dies = lambda node, method: False

    def install(self, monkeypatch):
        ray = types.ModuleType("ray")
        strategies = types.ModuleType("ray.util.scheduling_strategies")
        strategies.NodeAffinitySchedulingStrategy = lambda node, soft: node
        ray.exceptions = types.SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        ray.is_initialized = lambda: True
        ray.nodes = lambda: [{"NodeID": name, "NodeManagerHostname": "host-" + name, "Alive": True,
                              "Resources": resources} for name, resources in self.nodes.items()]
        ray.remote = lambda **options: lambda kind: _Maker(self, kind, options)
        ray.wait = _wait
        ray.get = lambda reference: reference.get()
        for name, module in (("ray", ray), ("ray.util", types.ModuleType("ray.util")),
                             ("ray.util.scheduling_strategies", strategies)):
            monkeypatch.setitem(sys.modules, name, module)
        return self


def _wait(references, num_returns, timeout):
    assert references, "nothing to wait for"
    return references[:1], references[1:]


class _Maker:
    def __init__(self, cluster, kind, options):
        self._cluster, self._kind, self._options = cluster, kind, options

    def options(self, scheduling_strategy):
        self._node = scheduling_strategy
        return self

    def remote(self, *arguments):
        self._cluster.started.append((self._node, self._options["num_gpus"]))
        return _Actor(self._cluster, self._node, self._kind(*_sent(arguments)))


class _Actor:
    def __init__(self, cluster, node, made):
        self._cluster, self._node, self._made = cluster, node, made

    def __getattr__(self, method):
        return types.SimpleNamespace(remote=lambda *arguments: _Reference(self, method, arguments))


class _Reference:
    def __init__(self, actor, method, arguments):
        self._actor, self._method, self._arguments = actor, method, arguments

    def get(self):
        actor, cluster = self._actor, self._actor._cluster
        if actor._node not in cluster.nodes or actor._made is None or cluster.dies(actor._node, self._method):
            actor._made = None
            raise RayError("the actor died")
        cluster.calls.append((actor._node, self._method))
        try:
            return _sent(getattr(actor._made, self._method)(*_sent(self._arguments)))
        except Exception as error:
            raise RayTaskError(_sent(error)) from error


def _sent(value):
    return pickle.loads(pickle.dumps(value))
