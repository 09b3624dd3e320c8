"""What the engine's process says to the others: commands on one socket, telemetry on the other."""

from __future__ import annotations

from collections.abc import Iterable

import zmq

from gating.clocks.clock import Clock
from gating.engine.outcome import StepOutcome
from gating.messages import Event, GateCommand, Message, ReferenceImage
from gating.service.telling import EngineTeller
from gating.settings.config import EndpointSettings
from gating.wire.codec import encode, encode_frame
from gating.wire.sockets import Socket, bind, receive, send


class EnginePublisher:
    """The two sockets on which the engine publishes.

    Parameters
    ----------
    clock
        Clock of this host.
    teller
        Is told of every command and event that leaves.

    Attributes
    ----------
    sent_ns
        When the last command left, ns on this host's clock; 0 before the first.
    """

    def __init__(self, clock: Clock, teller: EngineTeller) -> None:
        self._clock, self._teller = clock, teller
        self.sent_ns = 0

    def open(self, context: zmq.Context[Socket], endpoints: EndpointSettings) -> None:
        """Bind both sockets; the context closes them. Raises `zmq.ZMQError`."""
        self._gate = bind(context, zmq.PUB, endpoints.gate)
        self._telemetry = bind(context, zmq.XPUB, endpoints.telemetry)
        self._telemetry.setsockopt(zmq.XPUB_VERBOSE, 1)

    def publish(self, outcome: StepOutcome) -> None:
        """Send a command, and what is to be told of it."""
        self.send_command(outcome.command)
        self.send_telemetry(outcome.messages)

    def send_command(self, command: GateCommand) -> None:
        """Send a command."""
        send(self._gate, encode(command))
        self.sent_ns = self._clock.now_ns()
        self._teller.sent(command)

    def send_telemetry(self, messages: Iterable[Message]) -> None:
        """Send messages for the log and the screens."""
        for message in messages:
            send(self._telemetry, encode(message))
            if isinstance(message, Event):
                self._teller.tell(message)

    def send_images(self, images: Iterable[ReferenceImage]) -> None:
        """Send the images in which the targets were drawn, so that the log has them."""
        for image in images:
            send(self._telemetry, encode_frame(image))

    def take_subscriber(self) -> bool:
        """Return whether somebody has begun, or ceased, to hear the telemetry since the last call."""
        return receive(self._telemetry) is not None
