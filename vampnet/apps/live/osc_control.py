"""OSC control: every command of the looper as a message, and its state as messages that come back.

    /live/record 4      /live/gain -6 2      /live/prompt "beats(after=75ms)"

answers `/live/error text` where a command cannot be done, and ten times a second, to whoever sent a message last,
`/live/loop number state turn take takes varying peak` for each loop with music, `/live/model state share seconds` and
`/live/audio dropouts late_blocks fill_ms`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from vampnet.apps.live.commands import LiveCommand, make_command
from vampnet.apps.live.priority import hurry
from vampnet.errors import SettingsError, VampnetError, require

log = logging.getLogger("vampnet")

MAX_PACKET = 8192
STATE_EVERY_S = 0.1


class OscControl:
    """Listens for messages in a thread of its own."""

    def __init__(
        self,
        give: Callable[[LiveCommand], Any],
        state: Callable[[], list[tuple[str, list[Any]]]],
        *,
        host: str = "127.0.0.1",
        port: int = 8011,
        reply_port: int = 8013,
    ) -> None:
        """`give` takes commands, `state` gives the messages that say how things are.

        Raises DependencyError without the extra `live`, SettingsError where the port is taken.
        """
        require("pythonosc", "OSC messages")
        from pythonosc.dispatcher import Dispatcher
        from pythonosc.osc_server import BlockingOSCUDPServer

        self._give, self._state, self._reply_port = give, state, reply_port
        self._clients: dict[str, Any] = {}
        self.n_refused = 0
        """Packets that were no message."""
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(lambda client, address, *values: self._take(client[0], address, values), True)
        control = self

        class ControlServer(BlockingOSCUDPServer):
            """A server that outlives every packet."""

            max_packet_size = MAX_PACKET

            def verify_request(self, request: Any, client_address: Any) -> bool:
                """Refuse what is no OSC packet, or too long."""
                if len(request[0]) >= MAX_PACKET or not super().verify_request(request, client_address):
                    control.n_refused += 1
                    return False
                return True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Count a packet that cannot be read, and go on."""
                control.n_refused += 1

        try:
            self._server = ControlServer((host, port), dispatcher)
        except OSError as error:
            raise SettingsError(f"port {port} on {host}: {error.strerror}; choose another with --osc-port") from None
        self.port = self._server.server_address[1]
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._listen, self._tell)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _listen(self) -> None:
        hurry()
        self._server.serve_forever(poll_interval=0.1)

    def _take(self, host: str, address: str, values: tuple[Any, ...]) -> None:
        try:
            client = self._client(host)
            name = address.removeprefix("/live/")
            if name == address:
                raise SettingsError(f"no message {address[:40]}; commands are /live/record, /live/vary, ...")
            if name != "state":
                self._give(make_command(name, [_plain(value) for value in values]))
        except VampnetError as error:
            client.send_message("/live/error", [str(error).splitlines()[0]])
        except Exception as error:  # no message may end the control
            self.n_refused += 1
            log.debug("message %s: %s", address[:40], error)

    def _client(self, host: str) -> Any:
        from pythonosc.udp_client import SimpleUDPClient

        if host not in self._clients:
            self._clients[host] = SimpleUDPClient(host, self._reply_port)
        return self._clients[host]

    def _tell(self) -> None:
        hurry()
        while not self._stopped.wait(STATE_EVERY_S):
            for client in list(self._clients.values()):
                for address, values in self._state():
                    try:
                        client.send_message(address, values)
                    except OSError as error:
                        log.debug("state was not sent: %s", error)


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise SettingsError(f"a value is of type {type(value).__name__}; send numbers or texts")
    return value
