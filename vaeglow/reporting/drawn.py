"""Read the files behind a figure's rows, and refuse those that do not belong in one figure. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.arrays import read_info, require_images
from vaeglow.errors import UserError
from vaeglow.files import read_json, sha256_json
from vaeglow.paths import result_path
from vaeglow.reporting import style
from vaeglow.results import Result, check_together, read_result

REMEDY = "run snakemake for the figure again, or delete the file that is out of date"
IDENTITY = ("preset", "dataset", "model", "seed")
HASHES = ("config_sha256", "data_sha256", "weights_sha256")
# What two files of one figure must agree in, and who must agree: all files of one (dataset, model), say.
SHARED = {
    "config_sha256": ("dataset", "model"),
    "weights_sha256": ("dataset", "model"),
    "training_device": (),
}


class Sources:
    """All that one figure may read: opens the files of a row, checks what they say they are, keeps their commits.

    Args:
        spec: the figure, see `vaeglow.config.plan.spec`; its rows have `dataset` and, but for data, `model`.
        results_root: the folder that holds the presets' folders.
        data_root: the folder that holds the prepared datasets' folders.
    """

    def __init__(self, spec: Mapping[str, Any], results_root: str | Path, data_root: str | Path) -> None:
        self.spec, self.results_root, self.data_root = spec, Path(results_root), Path(data_root)
        self.name, self.seed = spec["name"], spec["seed"]
        self.commits: list[str] = []
        self.read: dict[Path, None] = {}  # files, in the order they were read
        self._agreed: dict[tuple[str, ...], tuple[Any, Path]] = {}
        self._results: list[Result] = []

    def info(self, dataset: str) -> dict[str, Any]:
        """What dataset.json says of a prepared dataset.

        Raises:
            UserError: it is missing, damaged, or of another dataset.
        """
        folder = self.data_root / dataset
        info = read_info(folder)
        if info["name"] != dataset:
            raise UserError(
                f"{folder} holds dataset {info['name']}, figure {self.name} shows {dataset}: prepare the data again"
            )
        return info

    def path(self, row: Mapping[str, Any], what: str, **wildcards: Any) -> Path:
        """Where one kind of result of a row lies (`vaeglow.paths.RESULTS`)."""
        return result_path(self.results_root, what, **{**self._identity(row), **wildcards})

    def json(self, row: Mapping[str, Any], what: str, needed: Mapping[str, Any] | None = None, **wildcards: Any) -> Any:
        """The content of one JSON file of a row.

        Args:
            row: of the figure.
            what: a key of `vaeglow.paths.RESULTS`.
            needed: values it must hold beside the run's identity.
            **wildcards: of its path, beside the run's.

        Raises:
            UserError: missing, damaged, or of something else.
        """
        path = self.path(row, what, **wildcards)
        content = read_json(path)
        if not isinstance(content, dict):
            raise UserError(f"{path} is not a JSON object: delete it and run again")
        self._check(path, content, row, needed or {}, hashes=what != "config")
        self.read[path] = None
        return content

    def arrays(
        self, row: Mapping[str, Any], what: str, names: tuple[str, ...], step: str, **wildcards: Any
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The arrays of one npz file of a row, and its metadata.

        Args:
            row: of the figure.
            what: a key of `vaeglow.paths.RESULTS`.
            names: of the arrays.
            step: which makes such files, for messages.
            **wildcards: of its path, beside the run's; the file must say the same.

        Raises:
            UserError: missing, damaged, or of something else.
        """
        path = self.path(row, what, **wildcards)
        result = read_result(path, names)
        found, metadata = result.arrays, result.content
        self._check(path, metadata, row, wildcards, hashes=True)
        self.read[path] = None
        return found, metadata

    def metrics(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """FID and company of a row's samples, measured under the figure's protocol.

        Raises:
            UserError: see `json`.
        """
        spec, temperature = self.spec, float(row["temperature"])
        needed = {"protocol": spec["protocol"], "temperature": temperature, "split": spec["split"]}
        needed |= {"fid_samples": spec["images"], "fid_features": spec["features"]}
        needed |= {"fid_sets": spec["sets"], "stretch": spec["stretch"]}
        return self.json(row, "metrics", needed, protocol=spec["protocol"], temperature=temperature)

    def images(self, array: np.ndarray, row: Mapping[str, Any], path: Path, leading: int) -> np.ndarray:
        """Check images and stretch their levels to 0..255.

        Args:
            array: uint8 [..., C, H, W].
            row: whose dataset says C, H, W and the number of levels.
            path: where it was read, for messages.
            leading: how many axes come before [C, H, W].

        Raises:
            UserError: another type or shape.
        """
        info = self.info(row["dataset"])
        shape = (info["channels"], info["size"], info["size"])
        if array.dtype != np.uint8 or array.ndim != leading + 3 or array.shape[leading:] != shape:
            counts = ", ".join(["N", "k"][:leading])
            raise UserError(
                f"{path} holds {array.dtype} {list(array.shape)}, figure {self.name} needs "
                f"uint8 [{counts}, {', '.join(map(str, shape))}]: {REMEDY}"
            )
        return full_range(array, info["levels"])

    def require(self, have: int, need: int, path: Path, keys: str, remedy: str) -> None:
        """Refuse to draw a grid with holes.

        Args:
            have: images there are.
            need: images it takes.
            path: where they are.
            keys: of the figure's entry that set `need`, for the message.
            remedy: what else helps.

        Raises:
            UserError: fewer than needed.
        """
        remedy = f"lower {keys} of figures.{self.name} in the config, or {remedy}"
        require_images(have, need, str(path), f"figure {self.name}", remedy)

    def number(self, content: Mapping[str, Any], key: str, path: Path) -> float:
        """A finite number of a file.

        Raises:
            UserError: absent, or something else.
        """
        value = content.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"{path}: {key} is {value}, figure {self.name} needs a finite number: {REMEDY}")
        return float(value)

    def series(self, content: Mapping[str, Any], key: str, path: Path, length: int | None = None) -> np.ndarray:
        """A list of finite numbers of a file, of `length` where one is given: float64 [n].

        Raises:
            UserError: absent, something else, or of another length.
        """
        try:
            values = np.asarray(content[key], dtype=float)
        except (KeyError, ValueError, TypeError):
            values = np.empty((0, 0))
        if (
            values.ndim != 1
            or not len(values)
            or not np.isfinite(values).all()
            or len(values) != (length or len(values))
        ):
            wanted = f"{length} finite numbers" if length else "a list of finite numbers"
            raise UserError(f"{path}: {key} is not what figure {self.name} needs, {wanted}: {REMEDY}")
        return values

    def footer(self) -> str:
        """The line at the foot: preset, datasets, seed, and the commits of all files read so far."""
        datasets = [row["dataset"] for row in self.spec["rows"]]
        return style.footer(self.spec["preset"], datasets, self.seed, self.commits)

    def _identity(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"preset": self.spec["preset"], "dataset": row["dataset"], "model": row["model"], "seed": self.seed}

    def _check(
        self, path: Path, content: Mapping[str, Any], row: Mapping[str, Any], needed: Mapping[str, Any], hashes: bool
    ) -> None:
        wanted = self._identity(row) | dict(needed)
        if hashes:
            wanted["data_sha256"] = sha256_json(self.info(row["dataset"])["sha256"])
        for key, value in wanted.items():
            if key not in content:
                raise UserError(f"{path} lacks '{key}', which figure {self.name} needs: {REMEDY}")
            if content[key] != value:
                found, needs = shorten(content[key]), shorten(value)
                raise UserError(f"{path}: {key} is {found}, figure {self.name} needs {needs}: {REMEDY}")
        for key, group in SHARED.items():
            if key in content:
                first, where = self._agreed.setdefault((key, *(row[name] for name in group)), (content[key], path))
                if first != content[key]:
                    raise UserError(
                        f"{path}: {key} is {shorten(content[key])}, {where} says {shorten(first)}: "
                        f"they cannot stand in one figure {self.name}; {REMEDY}"
                    )
        self._results.append(Result(path, dict(content)))
        check_together(self._results)
        if hashes:
            self.commits.append(commit_of(content.get("provenance")))


def commit_of(provenance: Any) -> str:
    """The commit a file was made by; `+dirty` when the source differed from it."""
    if not isinstance(provenance, dict) or "commit" not in provenance:
        return "unknown"
    return provenance["commit"] + ("+dirty" if provenance.get("dirty") else "")


def shorten(value: Any) -> str:
    """A value for a message: the first 12 digits of a hash."""
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else repr(value)


def full_range(images: np.ndarray, levels: int) -> np.ndarray:
    """Pixel values 0..levels-1 as 0..255."""
    return (images.astype(np.uint16) * 255 // (levels - 1)).astype(np.uint8)
