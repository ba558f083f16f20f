"""Read the images behind a figure's rows, and refuse those that do not belong in one figure. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.arrays import evenly_spaced, open_split, read_info, require_images
from vaeglow.data.samples import read_samples
from vaeglow.errors import UserError
from vaeglow.files import sha256_json
from vaeglow.reporting.measured import REMEDY, shorten
from vaeglow.reporting.tables import LABELS, commit_of


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a figure of images.

    Attributes:
        name: what it shows, in large.
        detail: under what condition, in small; none or several lines.
        images: uint8 [N, C, H, W], C 1 or 3, values 0..255.
        commit: of the code that drew the samples; None for real images.
    """

    name: str
    detail: str
    images: np.ndarray
    commit: str | None = None


def read_rows(spec: Mapping[str, Any], results_root: str | Path, data_dir: str | Path) -> list[Row]:
    """The rows of a sample sheet, in the figure's order.

    Args:
        spec: see `vaeglow.plan.figure_spec`.
        results_root: the folder that holds the presets' folders.
        data_dir: the prepared dataset.

    Raises:
        UserError: a file is missing, damaged, holds too few images, or belongs to another preset, dataset, model,
            seed, temperature or state of the data.
    """
    info = read_info(data_dir)
    if info["name"] != spec["dataset"]:
        raise UserError(f"{data_dir} holds dataset {info['name']}, figure {spec['name']} shows {spec['dataset']}")
    root = Path(results_root) / spec["preset"] / spec["dataset"]
    return [
        read_run(spec, row, root, info) if "model" in row else read_data(spec, row, data_dir, info)
        for row in spec["rows"]
    ]


def read_run(spec: Mapping[str, Any], row: Mapping[str, Any], root: Path, info: Mapping[str, Any]) -> Row:
    """A row of samples: the first of the run's file.

    Raises:
        UserError: see `read_rows`.
    """
    temperature = float(row["temperature"])
    path = root / row["model"] / f"seed{spec['seed']}" / "samples" / f"T{temperature}.npz"
    images, metadata = read_samples(path)
    wanted = {key: spec[key] for key in ("preset", "dataset", "seed")}
    wanted |= {"model": row["model"], "temperature": temperature, "data_sha256": sha256_json(info["sha256"])}
    for key, value in wanted.items():
        if metadata[key] != value:
            found, needed = shorten(metadata[key]), shorten(value)
            raise UserError(f"{path}: {key} is {found}, figure {spec['name']} needs {needed}: {REMEDY}")
    shape = (info["channels"], info["size"], info["size"])
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        found = f"{images.dtype} {list(images.shape)}"
        raise UserError(f"{path} holds {found}, figure {spec['name']} needs uint8 [N, *{shape}]: {REMEDY}")
    require(len(images), spec, path, "delete the file and run again to draw more")
    name, detail = (row["label"], "") if "label" in row else describe_run(row["model"], temperature)
    shown = full_range(images[: needed_images(spec)], info["levels"])
    return Row(name, detail, shown, commit_of(metadata.get("provenance") or {"commit": "unknown"}))


def describe_run(model: str, temperature: float) -> tuple[str, str]:
    """A run's label: the model's name, and in small what its brackets hold and the temperature."""
    name, _, variant = LABELS.get(model, model).rstrip(")").partition(" (")
    drawn = "decoder mean" if temperature == 0 else f"T = {temperature}"
    return name, f"{variant}\n{drawn}".lstrip()


def read_data(spec: Mapping[str, Any], row: Mapping[str, Any], data_dir: str | Path, info: Mapping[str, Any]) -> Row:
    """A row of real images, evenly spaced over a split.

    Raises:
        UserError: see `read_rows`.
    """
    images = open_split(data_dir, row["data"])
    require(len(images), spec, Path(data_dir) / f"{row['data']}.npy", "prepare more images")
    shown = full_range(evenly_spaced(images, needed_images(spec)), info["levels"])
    name, detail = (row["label"], "") if "label" in row else ("Data", f"{row['data']} images")
    return Row(name, detail, shown)


def needed_images(spec: Mapping[str, Any]) -> int:
    """How many images fill one row of the sheet."""
    return spec["columns"] * spec["lines_per_row"]


def require(have: int, spec: Mapping[str, Any], path: Path, remedy: str) -> None:
    """Refuse to draw a row with holes.

    Raises:
        UserError: fewer images than a row needs.
    """
    entry, shape = f"figures.{spec['name']}", f"{spec['columns']} columns x {spec['lines_per_row']} lines"
    remedy = f"lower {entry}.columns or lines_per_row in the config ({shape}), or {remedy}"
    require_images(have, needed_images(spec), str(path), f"figure {spec['name']}", remedy)


def full_range(images: np.ndarray, levels: int) -> np.ndarray:
    """Pixel values 0..levels-1 as 0..255."""
    return (images.astype(np.uint16) * 255 // (levels - 1)).astype(np.uint8)
