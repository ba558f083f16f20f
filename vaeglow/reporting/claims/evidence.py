"""What a kind of claim declares, what it reads and what it returns. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vaeglow.reporting.frame import read
from vaeglow.reporting.labels import row_label

if TYPE_CHECKING:
    import numpy as np

    from vaeglow.results import Result

Row = Mapping[str, Any]
Need = dict[str, Any]
Made = TypeVar("Made")
DEFS = "#/$defs/"
MODEL = {"type": "string", "description": "a model"}
MODEL_SHOWN = {"type": "string", "description": "the model looked at"}
THRESHOLD = {"type": "number", "default": 0, "description": "the claim holds if the whole interval lies above it"}


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
    claim: Mapping[str, Any]
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

    def once(self, make: Callable[[], Made], *key: Any) -> Made:
        """What `make` returns, computed once for each key."""
        if key not in self.cache:
            self.cache[key] = make()
        return self.cache[key]

    def label(self, row: str | Row) -> str:
        """What a reader calls a model, or a sample set (a row with a temperature)."""
        return row_label({"model": row} if isinstance(row, str) else row, self.styles)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one seed says of a claim.

    Attributes:
        draws: the effect, positive in favour of the paper, then its bootstrap draws: [J, 1 + DRAWS], or [J, 1] where
            nothing can be resampled; NaN where it has no value. The claim's effect is the LEAST of the J: more than one
            is for a claim that must hold against several rivals at once.
        unit: of the effect.
        words: what the effect is.
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


def kind(needs: Callable[[Row], list[Need]], seeded: bool = True, **schema: Any) -> Callable[[Callable], Callable]:
    """Declare a kind of claim: a function from `Evidence` to `Measured`.

    It is named like the kind; the first line of its docstring says in config/README.md what the effect is.

    Args:
        needs: of an entry of `claims`, the results it reads under each seed: `{"what": a key of vaeglow.paths.RESULTS,
            "model"}`, with `temperature`, `space`, or a `preset` other than the claim's. A FID reference belongs to no
            model: its need names one that is measured against it.
        seeded: False for what does not depend on a seed.
        **schema: the entry's own keys in config, beside `threshold`, which all kinds without a `margin` have.
    """

    def declare(measure: Callable) -> Callable:
        measure.needs, measure.seeded = needs, seeded
        measure.SCHEMA = schema if "margin" in schema else {**schema, "threshold": THRESHOLD}
        return measure

    return declare


def each(kinds: Iterable[str], rows: Iterable[Row]) -> list[Need]:
    """Every kind of result of every row."""
    kinds = tuple(kinds)
    return [{"what": what, **row} for row in rows for what in kinds]
