"""The ledger of claims: of each claim of the paper what was measured, how surely, and a verdict by a stated rule.

A kind of claim is a function of `quality` (sample sets, by KID) or `measures` (all else): `evidence.kind` says what it
reads and its entries' keys in config. `statistics` makes an interval and a verdict of what it measures, `ledger` the
files. No torch; pandas and scipy are imported when a ledger is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vaeglow.reporting.claims import measures, quality
from vaeglow.reporting.claims.evidence import rows_of

KINDS: dict[str, Callable] = {
    name: value for module in (quality, measures) for name, value in vars(module).items() if hasattr(value, "READS")
}


def needed(claim: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results that an entry of `claims`, its dataset a real one, reads under each seed.

    Returns:
        `{"what": a key of vaeglow.paths.RESULTS, "dataset", "model"}` each, with what else its row has; the caller adds
        preset, protocol and seed. A FID reference belongs to no model: its need names one that is measured against it.
    """
    needs = [{"what": what, **row} for row in rows_of(claim) for what in KINDS[claim["kind"]].READS]
    if "reference_model" in claim:
        needs.append({"what": "linear_reference", "model": claim["reference_model"]})
    return [
        {"dataset": claim["dataset"], **need} for need in sorted(needs, key=lambda need: need["what"] == "reference")
    ]
