"""What a kind of claim declares, what it reads and what it returns. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vaeglow.reporting.frame import read
from vaeglow.reporting.labels import row_label

if TYPE_CHECKING:
    import numpy as np

    from vaeglow.results import Result

Row = Mapping[str, Any]
Made = TypeVar("Made")
# Keys of an entry that name what it compares: a model or a sample set `{"model", "temperature"}`, or a list of either.
ROLES = (
    "better",
    "worse",
    "one",
    "other",
    "more",
    "less",
    "higher",
    "lower",
    "model",
    "slow",
    "fast",
    "ours",
    "theirs",
)
DEFS = "#/$defs/"
MODEL = {"type": "string", "description": "a model"}
MODEL_SHOWN = {"type": "string", "description": "the model looked at"}
THRESHOLD = {"type": "number", "default": 0, "description": "the claim holds if the whole interval lies above it"}


def kind(*reads: str, **schema: Any) -> Callable[[Callable], Callable]:
    """Declare a kind of claim: a function from `Evidence` to `Measured`, named like the kind.

    Args:
        *reads: what it reads of each row of `rows_of` (keys of `vaeglow.paths.RESULTS`).
        **schema: its keys in config, beside `threshold`, which all kinds without a `margin` have.
    """

    def declare(measure: Callable) -> Callable:
        measure.READS = reads
        measure.SCHEMA = schema if "margin" in schema else {**schema, "threshold": THRESHOLD}
        return measure

    return declare


def rows_of(claim: Row, *roles: str) -> list[Row]:
    """The runs that a claim compares, `{"model"}` each; with a `temperature`, a `space` or another `preset`.

    Args:
        claim: its entry.
        *roles: the keys that name them; none: all.
    """
    shared = {key: claim[name] for key, name in {"space": "space", "preset": "networks"}.items() if name in claim}
    temperatures = claim.get("temperatures") or [claim[key] for key in ("temperature",) if key in claim]
    temperatures = [{"temperature": value} for value in [*temperatures, *claim.get("others", [])]] or [{}]
    rows = []
    for role in roles or ROLES:
        named = claim.get(role, [])
        models = [
            {"model": one} if isinstance(one, str) else one for one in (named if isinstance(named, list) else [named])
        ]
        rows += [{**model, **temperature, **shared} for model in models for temperature in temperatures]
    return rows


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The results that a claim reads under one seed.

    Attributes:
        root: the results folder.
        preset: whose runs are judged.
        claim: its entry, with a real dataset and its protocol's values.
        seed: of the runs.
        styles: model -> its `label`.
        cache: what `once` made, for all claims.
    """

    root: str | Path
    preset: str
    claim: Row
    seed: int
    styles: Mapping[str, Any] | None = None
    cache: dict[tuple, Any] = dataclasses.field(default_factory=dict)

    def read(self, what: str, row: Row, *arrays: str) -> Result:
        """The result of kind `what` of a row, with the arrays named.

        Raises:
            UserError: missing, damaged, or of something else.
        """
        run = {"preset": self.preset, "dataset": self.claim["dataset"], "seed": self.seed}
        return read(self.root, what, {**run, **row}, self.claim, arrays)

    def results(self, what: str, *arrays: str) -> list[Result]:
        """The same of each row of the claim."""
        return [self.read(what, row, *arrays) for row in rows_of(self.claim)]

    def label(self, named: str | Row | list) -> str:
        """What readers call a model, a sample set, or several."""
        if isinstance(named, list):
            return " and ".join(map(self.label, named))
        return row_label({"model": named} if isinstance(named, str) else named, self.styles)

    def once(self, make: Callable[[], Made], *key: Any) -> Made:
        """What `make` returns, computed once for each key."""
        if key not in self.cache:
            self.cache[key] = make()
        return self.cache[key]


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one seed says of a claim.

    Attributes:
        draws: the effect, positive in favour of the paper, then its bootstrap draws: [J, 1 + DRAWS], or [J, 1] where
            nothing can be resampled; NaN where it has no value. The claim's effect is the LEAST of the J: more than one
            is for a claim that must hold against several rivals at once.
        unit: of the effect.
        words: what the effect is; `{better}` stands for the label of what the entry names so.
        scale: how much was measured.
        how: what the draws are; without draws, why there are none.
        units: how many images (of two sets the smaller number) or pairs a draw resamples; None: no correction for few.
        readings: (of what, which number) -> numbers behind the effect and beside it, for the note.
        notes: what a reader must know.
    """

    draws: np.ndarray
    unit: str
    words: str
    scale: str
    how: str
    units: int | None = None
    readings: Mapping[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
