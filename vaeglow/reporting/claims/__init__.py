"""The ledger of claims: for each claim of the paper a measurement, its certainty, and a verdict by a stated rule.

A kind of claim is a function of `kinds`, declared by `kind`. `statistics` makes an interval and a verdict of what it
measures, `ledger` the files. Torch, pandas and scipy are imported when a ledger is made. Whatever reads may raise
UserError: a file is missing, damaged, or of another kind.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from vaeglow.config.registry import kinds_of
from vaeglow.reporting.frame import Folder, Row, read, row_label
from vaeglow.results import Result

Claim: TypeAlias = Mapping[str, Any]  # an entry of `vaeglow.config.plan.claims`
Readings: TypeAlias = Mapping[tuple[str, str], float]  # (of what, which number) -> number
# Keys of an entry that name what it compares: a model or a sample set `{"model", "temperature"}`, or a list of either.
ROLES = (
    "model",
    "better",
    "worse",
    "one",
    "other",
    "more",
    "less",
    "higher",
    "lower",
    "slow",
    "fast",
    "ours",
    "theirs",
    "better_kid",
    "worse_kid",
)
MODEL = {"type": "string", "description": "a model"}
THRESHOLD = {"type": "number", "default": 0, "description": "the claim holds if the whole interval lies above it"}


def kind(*reads: str, **schema: Any) -> Callable[[Callable], Callable]:
    """Declare a kind of claim: a function from `Evidence` to `Measured`, named like the kind.

    Args:
        *reads: what it reads of each row of `rows_of` (keys of `vaeglow.paths.RESULTS`).
        **schema: its keys in config, besides `threshold`, which all kinds without a `margin` have.
    """

    def declare(measure: Callable) -> Callable:
        measure.READS = reads
        measure.SCHEMA = schema if "margin" in schema else {**schema, "threshold": THRESHOLD}
        return measure

    return declare


def rows_of(claim: Claim) -> list[Row]:
    """The runs that a claim compares, `{"model"}` each; with a `temperature`, a `space` or another `preset`."""
    temperatures = claim.get("temperatures") or [claim.get("temperature"), *claim.get("others", [])]
    rows: list[Row] = []
    for role in ROLES:
        for compared in listed(claim.get(role, [])):
            if isinstance(compared, Mapping):
                rows.append(compared)
            else:
                rows += [{"model": compared, "temperature": temperature} for temperature in temperatures]
    shared = {"space": claim.get("space"), "preset": claim.get("networks")}
    return [{key: value for key, value in {**row, **shared}.items() if value is not None} for row in rows]


def listed(value: Any) -> list:
    """A list unchanged, anything else as a list of one."""
    return value if isinstance(value, list) else [value]


def seeds_of(entry: Row, seeds: Sequence[int]) -> list[int]:
    """Those of the config's seeds that a claim, table or figure takes: all, unless it lists its own."""
    own = entry.get("seeds", seeds)
    return [seed for seed in seeds if seed in own]


def needed(claim: Claim) -> list[dict[str, Any]]:
    """The results that an entry of `vaeglow.config.plan.claims` reads under each seed.

    Returns:
        `{"what": a key of vaeglow.paths.RESULTS, "preset", "dataset", "protocol", "model"}` each, and what its row has.
    """
    where = {key: claim[key] for key in ("preset", "dataset", "protocol")}
    reads = kinds_of("claims")[claim["kind"]].READS
    if "registered" in claim:
        reads += ("registration",)
    return [{"what": what, **where, **row} for row in rows_of(claim) for what in reads]


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The results that a claim reads under one seed.

    Attributes:
        root: the results folder.
        claim: its entry.
        seed: of the runs.
        styles: model -> its `label`.
    """

    root: Folder
    claim: Claim
    seed: int
    styles: Row

    def read(self, what: str, row: Row, *arrays: str) -> Result:
        """The result of kind `what` of a row, with the arrays named."""
        return read(self.root, what, {**self.claim, "seed": self.seed, **row}, self.claim, arrays)

    def results(self, what: str, *arrays: str) -> list[Result]:
        """The same for each row of the claim."""
        return [self.read(what, row, *arrays) for row in rows_of(self.claim)]

    def label(self, compared: Any) -> str:
        """The label of a model or a sample set, or of several."""
        rows = [row if isinstance(row, Mapping) else {"model": row} for row in listed(compared)]
        return " and ".join(row_label(row, self.styles) for row in rows)

    def name(self, role: str) -> str:
        """The label of what has a role in the claim."""
        return self.label(self.claim[role])


@dataclasses.dataclass(frozen=True)
class Measured:
    """The measurement of a claim under one seed.

    Attributes:
        draws: the effect, positive in favour of the paper, then its bootstrap draws: [J, 1 + DRAWS], or [J, 1] where
            nothing can be resampled; NaN where it has no value. The claim's effect is the LEAST of the J: more than one
            is for a claim that must hold against several rivals at once.
        unit: of the effect.
        words: what the effect is; `{better}` is replaced by the label of the entry's `better`.
        scale: how much was measured.
        how: what the draws are; without draws, why there are none.
        units: how many images (of two sets the smaller number) or pairs a draw resamples; None: no correction for few.
        readings: numbers from which the effect comes, and others, for the note.
        notes: what a reader must know.
        beside: of a claim with several measures the effects by the others, by name: their signs must agree.
        lead: by how much KID the best of its samples beats the floor, a Gaussian fitted to the training pixels.
    """

    draws: np.ndarray
    unit: str
    words: str
    scale: str
    how: str
    units: int | None = None
    readings: Readings = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    beside: Mapping[str, float] = dataclasses.field(default_factory=dict)
    lead: float = math.inf
