"""DICOM MR images, live: sent to a storage receiver (C-STORE), or written into a folder.

The receiver takes MR, enhanced MR and multi-frame images, uncompressed or compressed without loss. By default it
listens on this host alone. Patient, study and all other identifying attributes are dropped on entry. Only pixels,
geometry, stamp and the identifier of the series are kept; the latter tells two series apart and is never published.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import decode

from drivers.errors import BadFrame, Unavailable
from drivers.formats.dicom import frames_of, read_dicom_file
from drivers.formats.dicom_deflated import inflated
from drivers.formats.dicom_pixels import MAX_BYTES, TRANSFER_SYNTAXES, missing_decoder
from drivers.formats.frame import VendorFrame
from drivers.sources.dicom_day import DayUnwrapper
from drivers.sources.folder import FolderSettings, WatchedFolder
from drivers.sources.live import Arrival, LiveSource
from drivers.sources.ordering import InOrder
from gating.clocks.clock import Clock, MonotonicClock
from gating.wire.security import check_listening

IMAGES: Final = (
    MRImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    LegacyConvertedEnhancedMRImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)
VERIFICATION: Final = "1.2.840.10008.1.1"
SUFFIXES: Final = (".dcm", ".ima", "")
SUCCESS: Final = 0x0000
CANNOT_UNDERSTAND: Final = 0xC000
"""PS3.4 B.2.3."""
MAX_ASSOCIATIONS: Final = 4
MAX_CONNECTIONS: Final = 16
"""Also of peers that ask for no association: each takes two threads that never rest."""
MAX_QUEUED: Final = 64
MAX_PDU_BYTES: Final = 2**20
"""This receiver declares at most 16 KiB."""
LATE_HINT: Final = "; -o order_within_ms lets images wait for those before them"
_log: Final = logging.getLogger("cinegate.source")


class DicomSettings(FolderSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where images come from. If there is a folder, no receiver is started."""

    folder: Annotated[str, Meta(max_length=4096, description="Folder to watch; empty: receive by C-STORE.")] = ""
    host: Annotated[str, Meta(min_length=1, max_length=255, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="Port to listen on; 0: any free one.")] = 11_112
    ae_title: Annotated[str, Meta(min_length=1, max_length=16, description="Title of this receiver.")] = "CINEGATE"
    calling_ae_titles: Annotated[
        tuple[str, ...], Meta(max_length=16, description="Titles of the peers to accept; none: any peer.")
    ] = ()
    check_called_ae_title: Annotated[
        bool, Meta(description="Reject peers that call this receiver by another title; otherwise the console tells.")
    ] = False
    order_within_ms: Annotated[
        float,
        Meta(ge=0, le=60_000, description="Time that a received image waits for earlier ones; it is older by as much."),
    ] = 0.0
    idle_timeout_s: Annotated[float, Meta(ge=1, le=3600, description="Silence after which a peer is dropped.")] = 30.0


class DicomSource(LiveSource):
    """Live MR images. The name of the clock says what the stamps are, see `drivers.formats.dicom_time`.

    Parameters
    ----------
    settings
        See `DicomSettings`.
    clock
        The host's monotonic clock.
    """

    Settings = DicomSettings

    def __init__(self, settings: DicomSettings, *, clock: Clock | None = None) -> None:
        clock = clock or MonotonicClock()
        day = DayUnwrapper(clock)
        self.arrivals: StoreReceiver | WatchedFolder
        arrivals: StoreReceiver | WatchedFolder | InOrder
        if settings.folder:

            def read(path: Path) -> list[VendorFrame]:
                return day.unwrap(read_dicom_file(path, stamped=not settings.arrival_time))

            self.arrivals = arrivals = WatchedFolder("dicom folder", settings.folder, SUFFIXES, read, settings, clock)
        else:
            self.arrivals = arrivals = StoreReceiver(settings, day, clock)
            if settings.order_within_ms > 0:
                arrivals = InOrder(self.arrivals, settings.order_within_ms, clock)
            else:
                self.late_hint = LATE_HINT
        super().__init__(arrivals, settings, clock)

    @property
    def port(self) -> int:
        """Port that the open receiver listens on, 0 otherwise."""
        return self.arrivals.port if isinstance(self.arrivals, StoreReceiver) else 0


class StoreReceiver:
    """`Arrivals` by C-STORE: a service class provider with threads of its own."""

    name = "dicom receiver"

    def __init__(self, settings: DicomSettings, day: DayUnwrapper, clock: Clock) -> None:
        self._settings, self._day, self._clock = settings, day, clock
        self._arrived: queue.Queue[Arrival] = queue.Queue(MAX_QUEUED)
        self._server: Any = None
        self._connections: list[socket.socket] = []
        self._received_bytes: Counter[Association] = Counter()
        self._count = 0

    @property
    def port(self) -> int:
        """Port that it listens on, 0 while it is closed."""
        return 0 if self._server is None else int(self._server.socket.getsockname()[1])

    def open(self) -> None:
        """Listen. Raises `Unavailable` if the address is not available."""
        settings = self._settings
        entity = AE(ae_title=settings.ae_title)
        readable = [syntax for syntax in TRANSFER_SYNTAXES if not missing_decoder(syntax)]
        readable.append(DeflatedExplicitVRLittleEndian)
        for image in IMAGES:
            entity.add_supported_context(image, readable)
        entity.add_supported_context(VERIFICATION)
        entity.maximum_associations = MAX_ASSOCIATIONS
        entity.require_calling_aet = list(settings.calling_ae_titles)
        entity.require_called_aet = settings.check_called_ae_title
        entity.network_timeout = entity.dimse_timeout = settings.idle_timeout_s
        self._arrived, self._count, self._connections = queue.Queue(MAX_QUEUED), 0, []
        self._received_bytes.clear()
        callbacks: list[evt.EventHandlerType] = [
            (evt.EVT_CONN_OPEN, self._on_open),
            (evt.EVT_ACCEPTED, self._on_accepted),
            (evt.EVT_REJECTED, self._on_rejected),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_CONN_CLOSE, self._on_close),
        ]
        try:
            check_listening(settings.host)
            self._server = entity.start_server((settings.host, settings.port), block=False, evt_handlers=callbacks)
            self._server.verify_request = self._has_room
        except (OSError, OverflowError) as error:
            raise Unavailable(f"{self.name}: cannot listen on {settings.host}:{settings.port}: {error}") from None
        _log.info("listens on %s:%d as %s", settings.host, self.port, settings.ae_title)

    def wait(self, timeout_ms: int) -> Arrival | None:
        """Return the frames of the next image, or what was wrong with it; None on time-out."""
        with contextlib.suppress(queue.Empty):
            return self._arrived.get(timeout_ms > 0, timeout_ms / 1e3 if timeout_ms > 0 else None)
        return None

    def close(self) -> None:
        """Drop the peers and stop listening."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()

    def _has_room(self, connection: socket.socket, address: tuple[str, int]) -> bool:
        """Return whether one more connection may be served; called, one by one, before anything is spent on it."""
        self._connections = [one for one in self._connections if one.fileno() >= 0]
        if len(self._connections) < MAX_CONNECTIONS:
            self._connections.append(connection)
            return True
        said = f"a connection from {address[0]} was refused: {MAX_CONNECTIONS} are open, the limit"
        self._put(Arrival(self._clock.now_ns(), remark=said))
        return False

    def _on_open(self, event: evt.Event) -> None:
        """Bound the memory that one peer can claim: pynetdicom itself believes any length that it is told."""
        association, received = event.assoc, self._received_bytes
        transport: Any = association.dul.socket
        read = transport.recv

        def read_bounded(count: int) -> bytearray:
            received[association] += count
            if count > MAX_PDU_BYTES or received[association] > MAX_BYTES:
                sentence = (
                    f"{_peer(event)} was cut off: it sends {count} bytes in a unit and {received[association]} in a "
                    f"message; {MAX_PDU_BYTES} and {MAX_BYTES} are the limits"
                )
                self._put(Arrival(self._clock.now_ns(), problem=sentence))
                raise OSError(sentence)
            data: bytearray = read(count)
            return data

        transport.recv = read_bounded

    def _on_accepted(self, event: evt.Event) -> None:
        """Report an offer that could be read if its decoder were installed."""
        called, own = _called_title(event), self._settings.ae_title
        _log.info(
            "%s came%s", _peer(event), "" if called == own else f", calling {called!r}; the title here is {own!r}"
        )
        for context in event.assoc.rejected_contexts:
            for sentence in filter(None, map(missing_decoder, context.transfer_syntax)):
                self._put(Arrival(self._clock.now_ns(), problem=f"{_peer(event)} offers images as {sentence}"))
                return

    def _on_rejected(self, event: evt.Event) -> None:
        """Say on the console who was turned away, and why; a stranger is no reason to hold the beam."""
        settings, calling = self._settings, str(event.assoc.requestor.ae_title).strip()
        if settings.calling_ae_titles and calling not in settings.calling_ae_titles:
            why = f"calling_ae_titles is {', '.join(settings.calling_ae_titles)}"
        elif settings.check_called_ae_title and _called_title(event) != settings.ae_title:
            why = f"it called {_called_title(event)!r}; the title here is {settings.ae_title!r}"
        else:
            why = f"{MAX_ASSOCIATIONS} associations are the limit"
        self._put(Arrival(self._clock.now_ns(), remark=f"{_peer(event)} was rejected: {why}"))

    def _on_store(self, event: evt.Event) -> int:
        arrived_ns = self._clock.now_ns()
        self._received_bytes.pop(event.assoc, None)
        self._count += 1

        def read() -> Dataset:
            meta = event.file_meta
            if meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
                dataset = decode(BytesIO(inflated(event.encoded_dataset(include_meta=False))), False, True)
                meta.TransferSyntaxUID = ExplicitVRLittleEndian
            else:
                dataset = event.dataset
            dataset.file_meta = meta
            return dataset

        stamped = not self._settings.arrival_time
        try:
            frames = self._day.unwrap(frames_of(read, f"image {self._count}", stamped))
        except BadFrame as error:
            self._put(Arrival(arrived_ns, problem=f"image {self._count} of {_peer(event)} was refused: {error}"))
            return CANNOT_UNDERSTAND
        self._put(Arrival(arrived_ns, tuple(frames), peer=_peer(event)))
        return SUCCESS

    def _on_close(self, event: evt.Event) -> None:
        self._received_bytes.pop(event.assoc, None)
        _log.info("%s left", _peer(event))
        if not (event.assoc.is_released or event.assoc.is_rejected):
            sentence = f"{_peer(event)} left without releasing its association"
            self._put(Arrival(self._clock.now_ns(), problem=sentence, kind="left"))

    def _put(self, arrival: Arrival) -> None:
        """Queue an arrival. If the queue is full the oldest is dropped, since the newest counts; for a remark, none."""
        if arrival.remark:
            with contextlib.suppress(queue.Full):
                self._arrived.put_nowait(arrival)
            return
        while True:
            with contextlib.suppress(queue.Full):
                self._arrived.put_nowait(arrival)
                return
            with contextlib.suppress(queue.Empty):
                self._arrived.get_nowait()


def _called_title(event: evt.Event) -> str:
    return str(getattr(event.assoc.requestor.primitive, "called_ae_title", "")).strip()[:16]


def _peer(event: evt.Event) -> str:
    address = getattr(event.assoc.requestor, "address", "") or "?"
    return f"peer {str(event.assoc.requestor.ae_title).strip()[:16]!r} at {str(address)[:64]}"
