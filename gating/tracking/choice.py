"""Which of the places that the search found is the target's, told by the fit there and by what lies around."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from gating.tracking.confidence import MISFIT_BELOW, RIVAL_VETO
from gating.tracking.contour import Propagation
from gating.tracking.local_contrast import Picture
from gating.tracking.surroundings import Surroundings
from gating.tracking.template import Placement, SearchRegion, place_at
from gating.tracking.template_set import TemplateSet


class Choice:
    """The choice between places for one target.

    Parameters
    ----------
    templates : TemplateSet
        Those in use; the first is the reference.
    surroundings : Surroundings
    apart_px : float
        Placements farther apart than this are different places.
    """

    def __init__(self, templates: TemplateSet, surroundings: Surroundings, apart_px: float) -> None:
        self._templates, self._surroundings, self._apart_px = templates, surroundings, apart_px

    def best(
        self, frame: NDArray[Any], picture: Picture, placements: list[Placement], reach: SearchRegion
    ) -> tuple[Placement, Propagation]:
        """Carry the contour to the best placement, and in doubt to others as well; then the best fit wins.

        A deformed target often scores no more than something else until the fit has undone its motion, and a target
        without texture of its own is known by its surroundings. A placement that wins only then has no lead: the
        confidence vetoes it.
        """
        winner = max(placements, key=self._templates.worth)
        moved = self._propagate(picture, winner)
        rival = next((one for one in placements if self._is_equal(one, winner)), None)
        if rival is None and moved.score >= MISFIT_BELOW:
            return winner, moved
        candidates = [(winner, moved)]
        if rival is not None:
            candidates.append((rival, self._propagate(picture, rival)))
        around = self._surroundings.find(frame, reach)
        if self._apart(winner, around.x_px, around.y_px):
            proposed = place_at(0, self._templates.in_use[0], frame, around.x_px, around.y_px, reach)
            candidates.append((proposed, self._propagate(picture, proposed)))

        def worth(candidate: tuple[Placement, Propagation]) -> float:
            at, fit = candidate
            return fit.score - reach.cost(at.x_px, at.y_px, fit.score) + around.worth_at(at.x_px, at.y_px)

        return max(candidates, key=worth)

    def _propagate(self, picture: Picture, placement: Placement) -> Propagation:
        template = self._templates.in_use[placement.template]
        x, y = template.centre_px
        return template.fit.propagate(picture, placement.x_px - x, placement.y_px - y, placement.score)

    def _is_equal(self, one: Placement, winner: Placement) -> bool:
        return one.score > winner.score - RIVAL_VETO and self._apart(winner, one.x_px, one.y_px)

    def _apart(self, placement: Placement, x_px: float, y_px: float) -> bool:
        return math.hypot(placement.x_px - x_px, placement.y_px - y_px) > self._apart_px
