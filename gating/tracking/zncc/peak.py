"""Sub-pixel position of a peak in a score surface."""

from __future__ import annotations

import numpy as np

from gating.tracking.zncc.memory import helper


@helper
def _simpson(before, middle, after):
    return (before + 4.0 * middle + after) / 6.0


@helper
def _vertex(before, middle, after):
    curvature = before - 2.0 * middle + after
    return 0.5 * (before - after) / curvature if curvature < 0.0 else 0.0


@helper
def quadratic_peak(s):
    """Vertex (row, column offset, each in -0.5..0.5) of a paraboloid through the logarithm of the 3x3 scores s, flat.

    The cross term matters: along the oblique edges of anatomy, two separate parabolas are wrong by 0.1 px. Slopes and
    curvatures are averaged over the three lines with Simpson's weights; on Fourier-shifted cine frames this halves the
    error, compared with the central line alone or the unweighted mean. Scores that are not all positive are used
    without the logarithm. The vertex is (0, 0) if there is no maximum.

    Source : H. Nobach and M. Honkanen, "Two-dimensional Gaussian regression for sub-pixel displacement estimation in
             particle image velocimetry", Exp. Fluids 38, 2005, doi:10.1007/s00348-005-0942-3.
    """
    positive = True
    for i in range(9):
        positive = positive and s[i] > 0.0
    if positive:
        for i in range(9):
            s[i] = np.log(s[i])
    slope_y = 0.5 * _simpson(s[6] - s[0], s[7] - s[1], s[8] - s[2])
    slope_x = 0.5 * _simpson(s[2] - s[0], s[5] - s[3], s[8] - s[6])
    bend_y = _simpson(s[6] - 2.0 * s[3] + s[0], s[7] - 2.0 * s[4] + s[1], s[8] - 2.0 * s[5] + s[2])
    bend_x = _simpson(s[2] - 2.0 * s[1] + s[0], s[5] - 2.0 * s[4] + s[3], s[8] - 2.0 * s[7] + s[6])
    twist = 0.25 * (s[8] - s[6] - s[2] + s[0])
    determinant = bend_y * bend_x - twist * twist
    if not (determinant > 0.0 and bend_y < 0.0):
        return 0.0, 0.0
    row = (twist * slope_x - bend_x * slope_y) / determinant
    col = (twist * slope_y - bend_y * slope_x) / determinant
    return min(0.5, max(-0.5, row)), min(0.5, max(-0.5, col))


@helper
def line_peak(before, middle, after):
    """Vertex, in -0.5..0.5, of a parabola through three scores: for a peak on the border of the window."""
    return min(0.5, max(-0.5, _vertex(before, middle, after)))


@helper
def rough_offsets(scores, pitch, rows, cols, at):
    """Sub-pixel offsets of a peak in a map, as a start for the next higher resolution."""
    down = line_peak(scores[at - pitch], scores[at], scores[at + pitch]) if 0 < at // pitch < rows - 1 else 0.0
    right = line_peak(scores[at - 1], scores[at], scores[at + 1]) if 0 < at % pitch < cols - 1 else 0.0
    return down, right
