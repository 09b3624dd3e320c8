"""The kernel comparison as a Markdown table and an SVG plot of cost against work.

`python -m bench.kernel_report docs` writes docs/img/kernels.svg and prints the table for docs/performance.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.fma_peak import measure_fma_peak
from bench.kernel_comparison import compare_kernels, summarise

SERIES: Final = (
    ("opencv_us", "cv2.matchTemplate", "#b2182b"),
    ("dense_us", "dense float32 map", "#777777"),
    ("exact_us", "exact", "#2166ac"),
    ("coarse_to_fine_us", "coarse to fine", "#1b7837"),
)
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 760, 430, 62, 52, 16
_X_RANGE, _Y_RANGE = (0.2, 14.0), (8.0, 400.0)


def work_mmac(row: dict[str, Any]) -> float:
    """Return the multiply-adds of the full map, in millions."""
    return float((2 * row["window_px"] + 1) ** 2 * row["template_px"] ** 2) / 1e6


def _place(x: float, y: float) -> tuple[float, float]:
    across = np.log(x / _X_RANGE[0]) / np.log(_X_RANGE[1] / _X_RANGE[0])
    up = np.log(y / _Y_RANGE[0]) / np.log(_Y_RANGE[1] / _Y_RANGE[0])
    return _LEFT + across * (_WIDTH - _LEFT - 16), _HEIGHT - _BOTTOM - up * (_HEIGHT - _BOTTOM - _TOP)


def svg(rows: list[dict[str, Any]], fma_gmacs: float) -> str:
    """Return a plot of cost against work on uint16 frames, both logarithmic, with the lower bound by the FMA rate."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for tick in (0.3, 1, 3, 10):
        x, y = _place(tick, _Y_RANGE[0])
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{y:.1f}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{tick:g}</text>')
    for tick in (10, 20, 50, 100, 200):
        x, y = _place(_X_RANGE[0], tick)
        parts.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{_WIDTH - 16}" y2="{y:.1f}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    ends = [(x, max(x * 1e3 / fma_gmacs, _Y_RANGE[0])) for x in (_Y_RANGE[0] * fma_gmacs / 1e3, _X_RANGE[1])]
    (x1, y1), (x2, y2) = (_place(*end) for end in ends)
    parts.append(
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="black" stroke-dasharray="5 4"/>'
    )
    for index, (key, label, colour) in enumerate(SERIES):
        for row in rows:
            x, y = _place(work_mmac(row), row[key])
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>')
        y = _TOP + 18 + 18 * index
        parts.append(f'<circle cx="{_LEFT + 16}" cy="{y - 4}" r="4.5" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + 27}" y="{y}">{label}</text>')
    y = _TOP + 18 + 18 * len(SERIES)
    parts.append(
        f'<line x1="{_LEFT + 8}" y1="{y - 4}" x2="{_LEFT + 24}" y2="{y - 4}" stroke="black" stroke-dasharray="5 4"/>'
    )
    parts.append(f'<text x="{_LEFT + 27}" y="{y}">float32 FMA floor of a full map ({fma_gmacs:.0f} GMAC/s)</text>')
    middle = (_LEFT + _WIDTH) / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">work of the full map, 10⁶ products</text>'
    )
    parts.append(f'<text transform="translate(14 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">median, µs</text>')
    return "\n".join([*parts, "</svg>", ""])


def table(rows: list[dict[str, Any]]) -> str:
    """Return a table with one line per point: medians in microseconds, and ratios to OpenCV."""
    lines = [
        "| window px | template px | dtype | exact µs | coarse to fine µs | dense µs | OpenCV µs | scikit-image µs "
        "| FFT µs | exact × | coarse × | FMA share |",
        "|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| ±{row['window_px']} | {row['template_px']} | {row['dtype']} | {row['exact_us']:.1f} | "
            f"{row['coarse_to_fine_us']:.1f} | {row['dense_us']:.1f} | {row['opencv_us']:.1f} | "
            f"{row.get('skimage_us', float('nan')):.0f} | {row['fft_us']:.0f} | {row['exact_ratio']:.1f} | "
            f"{row['coarse_to_fine_ratio']:.1f} | {row['fma_fraction']:.2f} |"
        )
    return "\n".join(lines)


def main(docs: Path) -> None:
    """Run the whole comparison, write the plot, and print tables and summary."""
    rows = compare_kernels()
    anatomy = [row for row in rows if row["content"] != "noise"]
    image = docs / "img" / "kernels.svg"
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_text(svg([row for row in anatomy if row["dtype"] == "uint16"], measure_fma_peak()), encoding="utf-8")
    print(table(anatomy))
    print()
    print(table([row for row in rows if row["content"] == "noise"]))
    print()
    print({name: round(value, 2) for name, value in summarise(rows).items()})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
