"""The curve of faults found against false incidents, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

_WIDTH, _HEIGHT, _MARGIN = 640, 400, 60

#: What has no false incident at all is drawn here: the axis is logarithmic.
_LEAST = 0.05


def write_curve(path: Path, points: Sequence[tuple[float, float]]) -> None:
    """`points`: false incidents a week (drawn by their logarithm) and the share of faults found."""
    powers = [math.log10(max(false, _LEAST)) for false, _ in points]
    left, right = math.floor(min(powers)), math.floor(max(powers)) + 1

    def x(power: float) -> str:
        return f"{_MARGIN + (power - left) / (right - left) * (_WIDTH - 2 * _MARGIN):.1f}"

    def y(share: float) -> str:
        return f"{_HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN):.1f}"

    line = " ".join(f"{x(power)},{y(share)}" for power, (_, share) in zip(powers, points, strict=True))
    bottom = str(_HEIGHT - _MARGIN + 18)
    parts = [_text(x(power), bottom, f"{10.0**power:g}", "middle") for power in range(left, right + 1)]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        ends = f'x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{y(share)}" y2="{y(share)}"'
        parts.append(f'<line {ends} stroke="#ddd"/>')
        parts.append(_text(str(_MARGIN - 8), y(share), f"{share:.0%}", "end"))
    parts.append(f'<polyline points="{line}" fill="none" stroke="#1f77b4" stroke-width="2"/>')
    parts.append(_text(str(_WIDTH / 2), str(_HEIGHT - 15), "false incidents a week", "middle"))
    parts.append(_text(str(_MARGIN), "30", "share of planted faults that is found", "start"))
    size = f'width="{_WIDTH}" height="{_HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    path.write_text("\n".join([head, f'<rect {size} fill="white"/>', *parts, "</svg>"]) + "\n")


def _text(x: str, y: str, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'
