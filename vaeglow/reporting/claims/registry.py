"""The kinds of claim there are, and the function that measures each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vaeglow.config import nearest
from vaeglow.errors import UserError
from vaeglow.reporting.claims import measures, quality
from vaeglow.reporting.claims.evidence import Evidence
from vaeglow.reporting.claims.statistics import Measured

Measure = Callable[[Evidence, Mapping[str, Any], int], Measured]
KINDS: dict[str, Measure] = {
    "kid": quality.kid,
    "kid_same": quality.kid_same,
    "kid_best": quality.kid_best,
    "kid_gain": quality.kid_gain,
    "kept": quality.kept,
    "quality_time": quality.quality_time,
    "bits": measures.bits,
    "speed": measures.speed,
    "noise": measures.noise,
    "information": measures.information,
    "layer": measures.layer,
    "smooth": measures.smooth,
}
SEEDLESS = ("speed",)  # networks are timed once, untrained


def measure_of(kind: str) -> Measure:
    """The function of a kind.

    Raises:
        UserError: no such kind.
    """
    if kind not in KINDS:
        raise UserError(f"no claim of kind '{kind}'{nearest(kind, KINDS)}: there are {', '.join(KINDS)}")
    return KINDS[kind]
