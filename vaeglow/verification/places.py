"""What a file of a results folder is, by its path. No torch."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

from vaeglow.paths import RESULTS, RUN

# What lies beside the results that `vaeglow.paths.RESULTS` lists, relative to the results folder.
BESIDE = {
    "kept_weights": f"{RUN}/snapshots.safetensors",
    "table": "{preset}/tables/{file}.csv",
    "claims": "{preset}/claims.csv",
    "figure": "{preset}/figures/{file}.png",
    "text": "{preset}/tables/{file}.{text}",
    "claims_text": "{preset}/claims.{text}",
    "pdf": "{preset}/figures/{file}.pdf",
    "state": f"{RUN}/state/{{rest}}",
    "tensorboard": f"{RUN}/tensorboard/{{rest}}",
    "copy": "{file}.{copied}",
    "collected": "{sort}/{file}.{copied}",
}
PATTERNS = {**RESULTS, **BESIDE}
NAMES = {
    "seed": r"\d+",
    "temperature": r"\d[\d.e+-]*",
    "text": "md|tex|html",
    "copied": "csv|md|tex|html|png|pdf",
    "sort": "tables|figures",
    "rest": ".+",
}
TYPES = {"seed": int, "temperature": float}
COPIES = ("copy", "collected")  # of a preset's tables, figures and claims
# Why files of a kind are not checked by themselves.
NO_HASH = {
    "text": "a text for readers: its CSV is checked",
    "claims_text": "a text for readers: its CSV is checked",
    "pdf": "no hash in it: the PNG beside it has one",
    "state": "resume state of training, no result",
    "tensorboard": "events to watch a run by, no result",
}


@dataclasses.dataclass(frozen=True)
class Place:
    """A file of a results folder.

    Attributes:
        path: of it.
        what: a key of `PATTERNS`.
        names: the values in its path: preset, dataset, model, seed, temperature, ...
    """

    path: Path
    what: str
    names: dict[str, Any]

    def beside(self, root: Path, what: str, **others: Any) -> Path:
        """Where another kind of result of the same run (or temperature, or protocol) lies.

        Args:
            root: the results folder.
            what: a key of `PATTERNS`.
            **others: names that this file's path does not have, or has with another value.

        Raises:
            KeyError: a name that neither has.
        """
        names = {**self.names, **others}
        if "temperature" in names:
            names["temperature"] = float(names["temperature"])
        return root / PATTERNS[what].format(**names)


def place_of(root: Path, path: Path) -> Place | None:
    """What a file under `root` is; None: nothing known."""
    relative = path.relative_to(root).as_posix()
    for what, pattern in expressions().items():
        if found := pattern.fullmatch(relative):
            names = {name: TYPES.get(name, str)(value) for name, value in found.groupdict().items()}
            return Place(path, what, names)
    return None


def within(root: Path, written: str) -> Place | None:
    """The file of this results folder that a path written elsewhere (`results/demo/...`) means; None: of no kind."""
    parts = Path(written).parts
    for start in range(len(parts)):
        place = place_of(root, root.joinpath(*parts[start:]))
        if place is not None and place.what in RESULTS:
            return place
    return None


@functools.cache
def expressions() -> dict[str, re.Pattern[str]]:
    """A regular expression for each pattern, in order of `PATTERNS`."""

    def group(found: re.Match[str]) -> str:
        return f"(?P<{found[1]}>{NAMES.get(found[1], '[^/]+')})"

    return {what: re.compile(re.sub(r"\\\{(\w+)\\\}", group, re.escape(text))) for what, text in PATTERNS.items()}
