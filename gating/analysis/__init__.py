"""What a session meant: residual motion, latency in mm, ITV against gating, dose arithmetic, what other settings give.

`session_figures(log)` is the hook for reports: it reads a session log and returns one `SessionFigures` per target.
"""

from __future__ import annotations

from gating.analysis.figures import AxisMotion, SessionFigures, figures, session_figures
from gating.analysis.motion import GatedMotion, motion_from_session

__all__ = ["AxisMotion", "GatedMotion", "SessionFigures", "figures", "motion_from_session", "session_figures"]
