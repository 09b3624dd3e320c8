"""Decides who may connect to a bound socket: a ZAP authenticator (https://rfc.zeromq.org/spec/27) in its own thread.

While no authenticator runs, libzmq admits any key. Every protected socket therefore also enforces its ZAP domain, so
that nobody is admitted without this thread.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from gating.wire.keys import Keyring

ZAP: Final = "inproc://zeromq.zap.01"
FAILED: Final = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
REPORT_EVERY_NS: Final = 10**9
_ZAP_PARTS: Final = 7

Socket = zmq.Socket[bytes]


def print_to_stderr(sentence: str) -> None:
    """Write one sentence to standard error."""
    sys.stderr.write(f"cinegate: {sentence}\n")
    sys.stderr.flush()


class Authenticator:
    """Admits clients to the sockets of one context by their keys, and reports those it rejects. Ends with the context.

    Parameters
    ----------
    context
        Context of the sockets. The authenticator uses a shadow of it, so that only its thread touches its own sockets.
    keyring
        Which keys are admitted to which channel.
    report
        Called with one sentence about rejected clients, at most once a second for each channel; it counts the others.
    """

    def __init__(
        self, context: zmq.Context[Any], keyring: Keyring, report: Callable[[str], None] = print_to_stderr
    ) -> None:
        self._context: zmq.Context[Socket] = zmq.Context.shadow(context.underlying)
        self._keyring, self._report = keyring, report
        self._zap = self._socket(zmq.REP)
        self._zap.bind(ZAP)
        self._monitors: dict[Socket, str] = {}
        self._told_ns: dict[str, int] = {}
        """When each channel was last reported."""
        self._untold: Counter[str] = Counter()
        """Rejections since then, by channel."""
        self._lock = threading.Lock()
        threading.Thread(target=self._serve, name="authenticator", daemon=True).start()

    def watch(self, server: Socket, channel: str) -> None:
        """Report failed handshakes of a socket; to be called before it is bound."""
        address = f"inproc://authenticator.{id(server)}"
        server.monitor(address, FAILED)
        monitor = self._socket(zmq.PAIR)
        monitor.connect(address)
        with self._lock:
            self._monitors[monitor] = channel

    def _socket(self, kind: int) -> Socket:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        return socket

    def _serve(self) -> None:
        try:
            while True:
                if self._zap.poll(20):
                    self._answer(self._zap.recv_multipart())
                with self._lock:
                    monitors = list(self._monitors.items())
                for monitor, channel in monitors:
                    while monitor.poll(0):
                        self._report_failure(parse_monitor_message(monitor.recv_multipart()), channel)
                self._report_untold()
        except zmq.ZMQError:
            pass
        finally:
            for socket in (self._zap, *self._monitors):
                socket.close()

    def _answer(self, request: list[bytes]) -> None:
        valid = len(request) == _ZAP_PARTS and request[0] == b"1.0" and request[5] == b"CURVE"
        channel = request[2].decode(errors="replace") if valid else "?"
        admitted = valid and self._keyring.admits(channel, z85.encode(request[6]))
        if not admitted:
            self._report_rejection(
                channel, f"a client with an unknown key or on the wrong channel was turned away from {channel}"
            )
        code, text = (b"200", b"OK") if admitted else (b"400", b"not admitted")
        self._zap.send_multipart([b"1.0", request[1] if len(request) > 1 else b"", code, text, b"", b""])

    def _report_failure(self, event: Mapping[str, Any], channel: str) -> None:
        if event["event"] == zmq.EVENT_MONITOR_STOPPED:
            return
        self._report_rejection(channel, f"a client without a valid key failed to connect to {channel}")

    def _report_rejection(self, channel: str, sentence: str) -> None:
        now_ns = time.monotonic_ns()
        if now_ns - self._told_ns.get(channel, -REPORT_EVERY_NS) < REPORT_EVERY_NS:
            self._untold[channel] += 1
            return
        self._told_ns[channel] = now_ns
        self._report(sentence)

    def _report_untold(self) -> None:
        for channel, count in list(self._untold.items()):
            if time.monotonic_ns() - self._told_ns[channel] >= REPORT_EVERY_NS:
                del self._untold[channel]
                self._report_rejection(channel, f"{count} more handshakes with {channel} failed within a second")
