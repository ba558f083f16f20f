"""The ledger of claims: for each claim of the paper a measurement, its certainty, and a verdict by a stated rule.

A kind of claim is a function of `kinds` or `sample_kinds`, declared by `kind`. `statistics` makes an interval and a
verdict of what it measures, `ledger` the files. Pandas and scipy are imported when a ledger is made. Whatever
reads may raise UserError: a file is missing, damaged, or of another kind.
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

from vaeglow.config.registry import kinds_of
from vaeglow.reporting.frame import Array, Row, Sources, Words
from vaeglow.results import Result

Claim = Row  # an entry of `vaeglow.config.plan.claims`
Readings = Mapping[tuple[str, str], float]  # (of what, which number) -> number
# Keys of an entry that name what it compares: a model or a sample set `{"model", "temperature"}`, or a list of either.
NAMES = "model better worse one other more less higher lower slow fast ours theirs better_kid worse_kid"
ROLES = NAMES.split()
SEEDLESS = ("speed", "size")  # kinds of claims without seeds: networks are timed once, untrained
MODEL = {"type": "string", "description": "a model"}
SET = {"$ref": "#/$defs/sample_set"}
THRESHOLD = {"type": "number", "default": 0, "description": "the claim holds if the whole interval lies above it"}


def kind(*reads: str, **schema: Any) -> Callable:
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
    rows = []
    for role in ROLES:
        named = claim.get(role, [])
        for compared in named if isinstance(named, list) else [named]:
            if isinstance(compared, Mapping):
                rows.append(compared)
            else:
                rows += [{"model": compared, "temperature": temperature} for temperature in temperatures]
    shared = {"space": claim.get("space"), "preset": claim.get("networks")}
    return [{key: value for key, value in {**row, **shared}.items() if value is not None} for row in rows]


def seeds_of(entry: Row, seeds: Sequence[int]) -> list[int]:
    """Those of the config's seeds that a claim, table or figure takes: all, or its own, or those measured so far."""
    own = entry.get("seeds", seeds)
    measured = entry.get("measured", own)
    return [seed for seed in seeds if seed in own and seed in measured]


def needed(claim: Claim) -> list[Row]:
    """The results that an entry of `vaeglow.config.plan.claims` reads under each seed.

    Returns:
        `{"what": a key of vaeglow.paths.RESULTS, "preset", "dataset", "protocol", "model"}` each, and what its row has.
    """
    where = {key: claim[key] for key in ("preset", "dataset", "protocol")}
    reads = kinds_of("claims")[claim["kind"]].READS
    if "registered" in claim:
        reads += ("registration",)
    return [{"what": what, **where, **row} for row in rows_of(claim) for what in reads]


class Evidence(Sources):
    """The results that a claim reads under one seed, by its entry with that seed alone and `styles`."""

    def results(self, what: str, *arrays: str) -> list[Result]:
        """The result of kind `what` of each row of the claim, with the arrays named."""
        return [self.read(what, row, *arrays) for row in rows_of(self.spec)]

    def name(self, role: str) -> str:
        """The label of the model or the sample set, or of several, that have a role in the claim."""
        return " and ".join(map(self.label, rows_of({role: self[role]})))

    def readings(self, unit: str, **numbers: float) -> Readings:
        """Numbers of what has these roles."""
        return {(self.name(role), unit): number for role, number in numbers.items()}


class Measured(NamedTuple):
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

    draws: Array
    unit: str
    words: str
    scale: str
    how: str
    units: int | None = None
    readings: Readings = {}  # noqa: RUF012 - nobody writes to a Mapping
    notes: Words = ()
    beside: Mapping[str, float] = {}
    lead: float = inf
