"""Open the files behind the claims, each once, and refuse those that do not belong together. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vaeglow.data.arrays import evenly_spaced
from vaeglow.data.samples import kept_of, read_arrays
from vaeglow.errors import UserError
from vaeglow.files import read_json, sha256_file
from vaeglow.paths import result_path
from vaeglow.reporting import paired
from vaeglow.reporting.claims.features import LIMIT
from vaeglow.reporting.measured import expect, value_of

IDENTITY = ("preset", "dataset", "model", "seed")
HASHES = ("config_sha256", "data_sha256", "weights_sha256")
REMEDY = "run snakemake for the claims again, or delete the file that is out of date"
# What must be one and the same in all files that share these parts of their identity.
SHARED = {
    "config_sha256": IDENTITY,
    "weights_sha256": IDENTITY,
    "data_sha256": ("dataset",),
    "reference_sha256": ("preset", "dataset", "protocol"),
    "inception_sha256": (),
    "training_device": (),
}
Found = TypeVar("Found")


class Evidence:
    """The files of one results folder, as one preset's claims see them.

    Args of its methods: `claim`, an entry of the spec with its real dataset and its protocol's values; `seed`; and of a
    row the `model` with its `temperature`, `space` or `preset` where it has one.
    """

    def __init__(self, results_root: str | Path, preset: str) -> None:
        self.root, self.preset = results_root, preset
        self._seen: dict[tuple, tuple[Any, Path]] = {}
        self._kept: dict[tuple, Any] = {}

    def keep(self, make: Callable[[], Found], *key: Any) -> Found:
        """What `make` gives, made once for each key."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def path(self, claim: Mapping[str, Any], seed: int, need: Mapping[str, Any]) -> Path:
        """The file of one result that `vaeglow.reporting.claims.needs.needed` names."""
        shared = {"preset": self.preset, "protocol": claim["protocol"], "seed": seed}
        return result_path(self.root, **{**shared, **need})

    def json(self, what: str, claim: Mapping[str, Any], seed: int, **row: Any) -> tuple[Path, dict[str, Any]]:
        """A JSON file's path and content.

        Raises:
            UserError: missing, damaged, or of something else than it should be.
        """
        path = self.path(claim, seed, {"what": what, "dataset": claim["dataset"], **row})
        content = read_json(path)
        self._check(path, content, what, claim, seed, row)
        return path, content

    def arrays(
        self, what: str, names: tuple[str, ...], claim: Mapping[str, Any], seed: int, **row: Any
    ) -> tuple[Path, dict[str, np.ndarray], dict[str, Any]]:
        """An npz file's path, arrays and metadata.

        Raises:
            UserError: see `json`.
        """
        path = self.path(claim, seed, {"what": what, "dataset": claim["dataset"], **row})
        step = {"features": "evaluate", "interpolation": "interpolate"}.get(what, what)
        found, metadata = read_arrays(path, names, (*IDENTITY, *HASHES), step)
        self._check(path, metadata, what, claim, seed, row)
        return path, found, metadata

    def features(self, claim: Mapping[str, Any], seed: int, row: Mapping[str, Any]) -> np.ndarray:
        """The features of a run's first samples, at most `LIMIT`: float64 [n, F]."""
        path, found, _ = self.arrays("features", ("features",), claim, seed, **row)
        return checked_features(path, found["features"], claim)[:LIMIT]

    def reference(self, claim: Mapping[str, Any]) -> np.ndarray:
        """The features of real images spread over the reference, at most `LIMIT`: float64 [m, F].

        Raises:
            UserError: missing, damaged, or not the reference that the samples were measured against.
        """
        path = self.path(claim, 0, {"what": "reference", "dataset": claim["dataset"]})
        return self.keep(lambda: self._reference(path, claim), path)

    def _reference(self, path: Path, claim: Mapping[str, Any]) -> np.ndarray:
        """See `reference`."""
        found, metadata = read_arrays(path, ("features",), ("dataset", "protocol", "data_sha256"), "fid_reference")
        expect(path, metadata, {"dataset": claim["dataset"], "protocol": claim["protocol"]})
        self._agree(path, {**metadata, "reference_sha256": sha256_file(path)}, {"preset": self.preset})
        features = checked_features(path, found["features"], claim)
        return evenly_spaced(features, min(LIMIT, len(features)))

    def bits(self, claim: Mapping[str, Any], seed: int, model: str) -> tuple[dict[str, Any], np.ndarray]:
        """likelihood.json of a run, and the bits/dim of each test image behind its headline number, [N].

        Raises:
            UserError: see `json`; or the two files are not of one evaluation.
        """
        path, content = self.json("likelihood", claim, seed, model=model)
        images = self.path(claim, seed, {"what": "likelihood_images", "dataset": claim["dataset"], "model": model})
        return content, paired.image_bits(path, content, images, REMEDY)

    def _check(self, path: Path, content: Any, what: str, claim: Mapping[str, Any], seed: int, row: Any) -> None:
        """The file is of the preset, dataset, model, seed and conditions it lies under, and fits those read before."""
        whose = {"preset": self.preset, "dataset": claim["dataset"], "seed": seed, **row}
        if what == "timing":
            del whose["seed"]  # of every seed and several models
        else:
            for key in HASHES:
                value_of(path, content, key)
        if "temperature" in whose:
            whose |= {"temperature": float(whose["temperature"]), "protocol": claim["protocol"]}
        if what in ("metrics", "snapshots"):
            counts = {"fid_samples": claim["images"], "fid_reference_images": claim["images"]}
            whose |= {"split": claim["split"], "fid_features": claim["features"], "stretch": claim["stretch"], **counts}
        if what == "metrics":
            whose["fid_sets"] = claim["sets"]
        expect(path, content, whose)
        self._agree(path, content, whose)

    def _agree(self, path: Path, content: Mapping[str, Any], whose: Mapping[str, Any]) -> None:
        """Hashes that this file shares with others are the same in all.

        Raises:
            UserError: one is not.
        """
        whose = {**content, **whose}
        for key, parts in SHARED.items():
            if key not in content or any(part not in whose for part in parts):
                continue
            value, other = self._seen.setdefault((key, *(whose[part] for part in parts)), (content[key], path))
            if value != content[key]:
                raise UserError(f"{path} and {other} differ in {key}, so they do not belong together: {REMEDY}")


def checked_values(path: Path, values: Any) -> np.ndarray:
    """Per-image numbers as float64 [n]; see `vaeglow.reporting.paired.finite_values`."""
    return paired.finite_values(path, values, REMEDY)


def checked_features(path: Path, features: np.ndarray, claim: Mapping[str, Any]) -> np.ndarray:
    """Features as float64 [n, F], as wide as the protocol says and as many as are kept of its images.

    Raises:
        UserError: they are not.
    """
    wanted = (kept_of(claim["images"]), claim["features"])
    if features.shape != wanted or not np.isfinite(features).all():
        raise UserError(f"{path}: features are {list(features.shape)} or not finite, not {list(wanted)}: {REMEDY}")
    return features.astype(np.float64)
