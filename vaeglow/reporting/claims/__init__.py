"""The ledger of claims: of each claim of the paper what was measured, how surely, and a verdict by a stated rule.

A kind of claim is a function of `quality` (sample sets, by KID) or `measures` (all else) that `evidence.kind` declares:
what it reads, its entries' own keys in config, and how it measures the effect. `statistics` makes an interval and a
verdict of that, `ledger` the files. No torch; pandas and scipy are imported when a ledger is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vaeglow.reporting.claims import measures, quality

KINDS: dict[str, Callable] = {
    name: value for module in (quality, measures) for name, value in vars(module).items() if hasattr(value, "SCHEMA")
}


def needed(claim: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results that an entry of `claims`, its dataset a real one, reads under each seed.

    Returns:
        `{"dataset", "what", "model"}` each; see `vaeglow.reporting.claims.evidence.kind`. The caller adds preset,
        protocol and seed.
    """
    return [{"dataset": claim["dataset"], **need} for need in KINDS[claim["kind"]].needs(claim)]
