"""The root of every exception that is meant for a user: one sentence that names the field, the value and the limit."""


class CinegateError(Exception):
    """Something cannot be done as asked; its text is one sentence for the user."""


class TargetError(CinegateError, ValueError):
    """A target that is missing, does not fit the frames, or cannot be used beside the others."""
