"""A live view: open while a run lasts, it gets the results and serves them."""
import threading
from typing import TYPE_CHECKING, Any, Dict, Optional

from edgenext_deploy.camera.address import without_password
from edgenext_deploy.live_view.address import ServeAddress, choose_token, is_made, page_address
from edgenext_deploy.live_view.board import Board
from edgenext_deploy.live_view.handler import MOST_STREAMS, Places, Services
from edgenext_deploy.live_view.page import read_page
from edgenext_deploy.live_view.pictures import Pictures
from edgenext_deploy.live_view.server import LiveServer
from edgenext_deploy.live_view.shared import Shared
from edgenext_deploy.live_view.state import LiveState, Presenter
from edgenext_deploy.machine.tree import Tree

if TYPE_CHECKING:
    from edgenext_deploy.camera.reader import Camera
    from edgenext_deploy.networks.stream import StreamResult

# Pictures and events per second, at most.
PICTURE_FPS = 10.0
_EVENTS_PER_S = 4.0


class LiveView:
    """Serves what it is shown, from when it is made until it is closed; use it as a context manager.

    Args:
        address: where to listen.
        presenter: how answers are shown.
        token: that a viewer needs, see `choose_token`.
        picture_fps: pictures per second, at most.
        tree: the machine's files, for temperatures.

    Raises:
        UsageError: nobody can listen there, or the token is not one.
    """

    def __init__(self, address: ServeAddress, presenter: Presenter, *, token: Optional[str] = None,
                 picture_fps: float = PICTURE_FPS, tree: Optional[Tree] = None) -> None:
        chosen = choose_token(address, token)
        self._state = LiveState(presenter)
        self._board = Board(tree or Tree())
        self.pictures = Shared(Pictures(self._state).next, 1.0 / picture_fps)
        self._services = Services(
            self._state, read_page(), self.pictures, Shared(self._document, 1.0 / _EVENTS_PER_S),
            Places(MOST_STREAMS), Places(MOST_STREAMS), threading.Event())
        self._server = LiveServer(address, self._services, chosen)
        self.page_address = page_address(self._server.address, chosen)
        # Logs are kept and shown around; whoever chose the token knows it.
        self.printed_address = self.page_address if is_made(token) else without_password(self.page_address)
        self._server.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.address.port

    def watch(self, camera: "Camera") -> None:
        """Take the source's name and counters from a camera from now on."""
        self._state.camera = camera

    def show(self, result: "StreamResult", drawn: bool = False) -> None:
        """Take over a result; the frame must not be written to afterwards.

        Args:
            result: frame, answer and times.
            drawn: whether the answer is in the frame's pixels already.
        """
        self._state.show(result, drawn)

    def close(self) -> None:
        """Hang up on all viewers, and free the port; twice does no harm."""
        if not self._services.stop.is_set():
            self._server.stop()

    def __enter__(self) -> "LiveView":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def _document(self) -> Dict[str, Any]:
        return dict(self._state.document(), viewers=self._services.picture_streams.taken, **self._board.document())
