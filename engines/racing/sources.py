"""Where a race's graphs come from: a bundle, or one ONNX file that is built several times."""
import os
from typing import Dict, Tuple

from edgenext_deploy.artifacts import manifest as manifests
from edgenext_deploy.artifacts.engine_file import open_graph
from edgenext_deploy.artifacts.manifest import Manifest
from edgenext_deploy.bundle.reading import Bundle, is_bundle_name, open_bundle
from edgenext_deploy.files import shown


class Source:
    """One ONNX file, or a bundle of several.

    Args:
        path: of the file.

    Attributes:
        path: of the file.
        sha256: digest that tells it from other sources.
        manifests: those of the graphs, by the names of the graphs, in the order of the bundle.
        left_out: formulations that are not in the bundle, each with the reason.

    Raises:
        BadInputError: missing, broken, or without its manifest.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.manifests: Dict[str, Manifest]
        self.left_out: Dict[str, str] = {}
        self._bundle: Tuple[Bundle, ...] = ()
        if is_bundle_name(path):
            bundle = open_bundle(path)
            self._bundle, self.manifests, self.sha256 = (bundle,), bundle.manifests, bundle.sha256
            self.left_out = dict(bundle.record.left_out)
        else:
            file = open_graph(path)
            # The name goes through JSON and onto a screen.
            name = shown(os.path.splitext(os.path.basename(path))[0], 60)
            self.manifests, self.sha256 = {name: file.manifest()}, file.sha256

    @property
    def manifest(self) -> Manifest:
        """That of the first graph; what all have in common may be taken from it."""
        return next(iter(self.manifests.values()))

    def place(self, name: str, path: str) -> str:
        """Return the path of a graph that lies on the disk with its manifest next to it.

        Args:
            name: of the graph.
            path: where it is written if it comes from a bundle.
        """
        for bundle in self._bundle:
            return bundle.write(name, path)
        return self.path

    def manifest_bytes(self, name: str) -> bytes:
        """Return the content of a graph's manifest."""
        for bundle in self._bundle:
            return bundle.files(name).manifest
        return manifests.read_bytes(manifests.find_manifest_path(self.path))
