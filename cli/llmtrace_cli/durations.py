"""Lengths of time as people write them: 90s, 30m, 1h or 2d."""

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(text: str) -> float:
    """`90s`, `30m`, `1h` or `2d`, as seconds. Raises ValueError, which says what to write, for all else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None or not float(match[1]):
        raise ValueError(f"{text!r} is no duration: write 90s, 30m, 1h or 2d")
    return float(match[1]) * _SECONDS[match[2]]
