"""What a cohort cannot do."""

from gating.errors import CinegateError


class CohortError(CinegateError, ValueError):
    """A cohort cannot be worked on as asked. The text is one sentence for the user."""
