"""Result files: read one, check what it says of itself, and check that several belong together. No torch."""

from __future__ import annotations

import dataclasses
import json
import math
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError
from vaeglow.files import read_json

if TYPE_CHECKING:
    import numpy as np

REMEDY = "run snakemake again, or delete the file that is out of date"
RUN = ("preset", "dataset", "model", "seed")
MEASURED = ("preset", "dataset", "protocol")
# What files that share these keys must agree in.
TOGETHER = {"config_sha256": RUN, "weights_sha256": RUN, "data_sha256": ("preset", "dataset")}
TOGETHER |= {"inception_sha256": MEASURED, "reference_sha256": MEASURED}


@dataclasses.dataclass(frozen=True)
class Result:
    """One result file.

    Attributes:
        path: of the file.
        content: of the JSON file, or the metadata of an npz; identity included.
        arrays: of an npz, those asked for.
    """

    path: Path
    content: dict[str, Any]
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def value(self, *keys: str) -> Any:
        """A value, by its key or keys from the outermost in.

        Raises:
            UserError: the file has no such key.
        """
        found: Any = self.content
        for key in keys:
            if not isinstance(found, dict) or key not in found:
                raise UserError(f"{self.path} lacks '{key}': {REMEDY}")
            found = found[key]
        return found

    def number(self, *keys: str) -> float:
        """The same, a finite number.

        Raises:
            UserError: it is none, or missing.
        """
        value = self.value(*keys)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"{self.path}: {keys[-1]} is {value}, not a finite number: evaluate the run again")
        return value

    @property
    def commit(self) -> str:
        """The commit the file was made from; `+dirty` when the source differed from it."""
        dirty = self.value("provenance").get("dirty")
        return self.value("provenance", "commit") + ("+dirty" if dirty else "")


def read_result(path: str | Path, arrays: Sequence[str] = (), **expected: Any) -> Result:
    """A result file, checked.

    Args:
        path: of a JSON file, or of an npz with its `metadata`.
        arrays: of an npz, those to read.
        **expected: what the file must say of itself.

    Raises:
        UserError: the file is missing or damaged, or says something else.
    """
    path = Path(path)
    result = Result(path, read_json(path)) if path.suffix == ".json" else read_npz(path, arrays)
    for key, wanted in expected.items():
        if (found := result.value(key)) != wanted:
            raise UserError(f"{path}: {key} is {found!r}, wanted is {wanted!r}: {REMEDY}")
    return result


def read_npz(path: Path, arrays: Sequence[str]) -> Result:
    """See `read_result`."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return Result(path, json.loads(str(archive["metadata"])), {name: archive[name] for name in arrays})
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run the step that makes it first") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}): {REMEDY}") from None


def check_together(results: Iterable[Result]) -> None:
    """No two files disagree in what makes their numbers comparable.

    Raises:
        UserError: two do.
    """
    first: dict[tuple[Any, ...], Result] = {}
    for result in results:
        for hashed, keys in TOGETHER.items():
            if hashed in result.content:
                other = first.setdefault((hashed, *(result.value(key) for key in keys)), result)
                if result.content[hashed] != other.content[hashed]:
                    raise UserError(
                        f"{result.path} and {other.path} differ in {hashed}, so they do not belong together: {REMEDY}"
                    )
