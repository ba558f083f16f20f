"""The rule by which every verdict comes about. Nothing else decides."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from vaeglow.reporting.claims.features import LIMIT
from vaeglow.reporting.claims.statistics import DRAWS, SEEDS, Interval, Measured, interval
from vaeglow.reporting.rounds import DISAGREE

HOLDS, FAILS, UNDECIDED, NOT_RUN = "holds", "does not hold", "undecided", "not run at this preset"
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_RUN)
RULE = f"""\
Each claim becomes one number, its effect, turned so that positive favours the paper, with a 95% interval [low, high].
A claim needs its effect above a threshold, or (a claim that something brings no gain) below a margin; both are stated
in the config with a reason. Four of them borrow a published difference of FIDs for KIDs, or of bits/dim, as no KID is
published.

- **{HOLDS}**: the whole interval lies where the claim needs it.
- **{FAILS}**: the whole interval lies outside.
- **{UNDECIDED}**: anything else; also every claim about training with fewer than {SEEDS} seeds, whatever its interval,
  because another training would give other numbers. The note then says what the seeds that ran show.
- **{NOT_RUN}**: the claim is switched off in the config, or its model cannot take the dataset's images.

With {SEEDS} seeds or more the interval is Student's t over the seeds' effects. With fewer it is a bootstrap
({DRAWS} draws with a fixed seed, expanded percentiles) over the images of the runs there are: it says how sure the
measurement of these trained networks is, not how another training would turn out. An interval over seeds says nothing
of other test images: all seeds are measured on the same. For the least of several effects
the upper end is Bonferroni's. Where files hold one number a run, there is no interval under {SEEDS} seeds. Speed has
Student's t over rounds in which all models were timed in turns, and no interval where the ratios of two rounds, or the
medians in CPU seconds and in seconds on the clock, differ by more than {DISAGREE} times; quality at equal time has the
standard errors of both KIDs.

Sample quality is judged by KID (kernel (x.y/F + 1)^3, unbiased), because a bootstrapped FID is biased upward. At most
{LIMIT} images a set are used. Samples and real images are resampled by multinomial weights, the real ones alike for
all models; pairs of copies of one image are left out. The paper's numbers are FIDs: the order is compared, never the
size. FID, and KID as the tables have it, stand in the notes for reading."""


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A verdict with the interval it comes from."""

    interval: Interval
    verdict: str
    notes: tuple[str, ...]


def needs_words(claim: Mapping[str, Any]) -> str:
    """Where the effect has to lie, in words."""
    return f"< {claim['margin']:g}" if "margin" in claim else f"> {claim['threshold']:g}"


def rule(low: float, high: float, claim: Mapping[str, Any]) -> str:
    """The verdict on an interval alone.

    Args:
        low: its lower end.
        high: its upper end.
        claim: with `threshold` or `margin`.
    """
    if math.isnan(low) or math.isnan(high) or low > high:
        raise ValueError(f"[{low}, {high}] is no interval")
    margin = claim.get("margin")
    if margin is not None:  # the same, turned round
        low, high = -high, -low
    needed = claim["threshold"] if margin is None else -margin
    if low > needed:
        return HOLDS
    return FAILS if high < needed else UNDECIDED


def judge(claim: Mapping[str, Any], found: Sequence[Measured], seeded: bool = True) -> Judgement:
    """The verdict on a claim.

    Args:
        claim: its entry.
        found: what each seed measured.
        seeded: False for what does not depend on a seed.
    """
    measured = interval(found)
    alone = rule(measured.low, measured.high, claim)
    verdict, notes = alone, []
    if seeded and len(found) < SEEDS:
        count = {1: "one seed", 2: "two seeds"}[len(found)]
        if claim["training"]:
            verdict = UNDECIDED
            shown = (
                "no interval, so nothing" if measured.low == -math.inf and measured.high == math.inf else f"'{alone}'"
            )
            notes.append(f"{count}, and a claim about training needs {SEEDS}: by the rule {count} would give {shown}")
        else:
            notes.append(count)
    return Judgement(measured, verdict, tuple(notes))
