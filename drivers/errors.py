"""The one tree of exceptions that drivers raise."""

from gating.errors import CinegateError


class DriverError(CinegateError):
    """A driver cannot do what it was asked. Its text is one sentence for the operator."""


class Unavailable(DriverError):
    """The device, peer, file or library is not there (raised by `open`)."""


class SourceFault(DriverError):
    """The stream cannot be trusted any more (raised by `read_into`)."""


class BeamFault(DriverError):
    """The beam line does not do what it was told (raised by `set_beam` or `read_back`)."""


class BadRecording(Unavailable):
    """A recording that is damaged, incomplete or inconsistent."""


class PlaneMissing(BadRecording):
    """A recording that does not show the plane that was asked for."""


class BadFrame(DriverError):
    """One frame, file or message that cannot be used; the stream may go on without it."""
