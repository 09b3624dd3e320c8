"""The exceptions that drivers raise, all of one family."""

from gating.errors import CinegateError


class DriverError(CinegateError):
    """A driver cannot do what it was asked to. The text is one sentence for the operator."""


class Unavailable(DriverError):
    """The device, peer, file or library is not available (raised by `open`)."""


class SourceFault(DriverError):
    """The stream can no longer be trusted (raised by `read_into`)."""


class BeamFault(DriverError):
    """The beam line does not do what it was told to (raised by `set_beam` or `read_back`)."""


class BadRecording(Unavailable):
    """A recording that is damaged, incomplete or inconsistent."""


class BadPlan(Unavailable):
    """A planned dose, plan or structure set that is damaged, incomplete or belongs to another one."""


class PlaneMissing(BadRecording):
    """A recording without the requested plane."""


class BadFrame(DriverError):
    """A frame, file or message that cannot be used; the stream may go on without it."""


class BadStamp(BadFrame):
    """A frame that is whole but for its stamp; a recording may do without a few of them."""


class FramesDropped(UserWarning):
    """A recording was opened without some of its frames. The text is one sentence for the user."""


class DrawnIn(UserWarning):
    """A recording shows more than was imaged: contours or text. The text is one sentence for the user."""


class NotSquare(UserWarning):
    """A recording gives pixels that are not square, and its sizes may be wrong. The text is one sentence."""
