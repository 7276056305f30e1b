"""A live page for a run: for `edgenext-run --serve`, and for an application."""
import os
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

import click

from edgenext_deploy.live_view.address import ServeAddress, parse_serve_address
from edgenext_deploy.live_view.state import Presenter
from edgenext_deploy.live_view.view import LiveView
from edgenext_deploy.run.lettering import lettering_for
from edgenext_deploy.run.views import View, view_of

if TYPE_CHECKING:
    from edgenext_deploy.camera.reader import Camera
    from edgenext_deploy.networks.base import Network
    from edgenext_deploy.networks.stream import StreamResult

_DEFAULT_PORT = 8080


def serve(network: "Network[Any]", camera: "Camera", *, address: Union[int, str] = _DEFAULT_PORT,
          token: Optional[str] = None, on_result: "Optional[Callable[[StreamResult], Any]]" = None,
          stop: Optional[Callable[[], bool]] = None, announce: Optional[Callable[[str], Any]] = None) -> None:
    """Answer for a camera's newest frame, again and again, and show it all on a page in the browser.

    Returns when the source ends or `stop` says so; an exception, such as KeyboardInterrupt, closes the page too.

    Args:
        network: a Classifier, Detector, Segmenter or FeatureExtractor. It stays open.
        camera: stays open.
        address: a port of this machine alone, or ``HOST:PORT`` for other machines too; port 0 takes a free one.
        token: that a viewer needs, 8 to 200 of the characters ``A-Za-z0-9._~-``. By default there is none on this
            machine alone; on another address it is ``$EDGENEXT_SERVE_TOKEN``, or a new one.
        on_result: called with each result; must not write into its frame.
        stop: ends the run when it returns True; asked at least ten times a second.
        announce: called with the page's address, with the token in it; by default it is printed on stderr.

    Raises:
        UsageError: the port is in use, the address or token cannot be used, or the engine takes several images at a
            time.
        BadInputError: the source cannot be read on, and is not live.
    """
    view = view_of(network)
    view.lettering = lettering_for(getattr(network, "labels", ()))
    with open_live_view(view, parse_serve_address(str(address)), token) as live:
        (announce or _print_address)(live.page_address)
        live.watch(camera)
        for result in network.stream(camera, stop):
            live.show(result)
            if on_result is not None:
                on_result(result)


def open_live_view(view: View, address: ServeAddress, token: Optional[str]) -> LiveView:
    """Return the open page of a run; see `LiveView` for what is raised."""
    session = view.network.session.describe()
    about = {"engine": os.path.basename(view.network.file.path), "variant": view.network.manifest.variant,
             "task": view.network.task, "runtime": "{runtime} {version}".format(**session)}
    return LiveView(address, Presenter(
        about, view.live_picture, lambda answer: view.headline(answer) + view.mark,
        lambda answer: [(item.label, item.value) for item in view.ranked(answer)], view.score_name), token=token)


def _print_address(address: str) -> None:
    click.echo("live page: " + address, err=True)
