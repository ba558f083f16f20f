"""A run: one model of a preset, trained on a dataset under one seed. It knows its name and its paths. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaeglow.paths import result_path

IDENTITY = ("preset", "dataset", "model", "seed")


@dataclasses.dataclass(frozen=True)
class Run:
    """The four names that every result of a run carries.

    Attributes:
        preset: its name in config.
        dataset: likewise.
        model: likewise.
        seed: of training and sampling.
    """

    preset: str
    dataset: str
    model: str
    seed: int

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Run:
        """The run that a resolved config, or a result, is of."""
        return cls(**{key: content[key] for key in IDENTITY})

    @property
    def identity(self) -> dict[str, Any]:
        """The names by key."""
        return dataclasses.asdict(self)

    def path(self, what: str, root: str | Path = "results", **others: Any) -> Path:
        """Where one kind of its results lies.

        Args:
            what: a key of `vaeglow.paths.RESULTS`.
            root: the results folder.
            **others: what else the path names: protocol, temperature, space.
        """
        return result_path(root, what, **self.identity, **others)
