"""The rows of a figure of samples: their images and what is written beside them. No torch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from vaeglow.data.arrays import evenly_spaced, open_split
from vaeglow.reporting import style
from vaeglow.reporting.drawn import Sources
from vaeglow.reporting.labels import drawn_at, model_label


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a figure of images.

    Attributes:
        name: what it shows, in large.
        detail: under what condition, in small; none or several lines.
        images: uint8 [N, C, H, W], C 1 or 3, values 0..255.
        overflow: how many of the run's samples overflowed and were clipped, in words; empty where none did.
    """

    name: str
    detail: str
    images: np.ndarray
    overflow: str = ""


def read_rows(sources: Sources, count: int, keys: str) -> list[Row]:
    """The rows in the figure's order: a run's first samples, or real images evenly spaced over a split.

    Args:
        sources: of the figure.
        count: images that each row shows.
        keys: of the figure's entry that set `count`, for messages.

    Raises:
        UserError: a file is missing, damaged, holds too few images, or is of something else.
    """
    return [
        read_run(sources, row, count, keys) if "model" in row else read_data(sources, row, count, keys)
        for row in sources.spec["rows"]
    ]


def read_run(sources: Sources, row: Mapping[str, Any], count: int, keys: str) -> Row:
    """A row of samples: the first of the run's file.

    Raises:
        UserError: see `read_rows`.
    """
    temperature = float(row["temperature"])
    arrays, metadata = sources.arrays(row, "samples", ("images",), "sample", temperature=temperature)
    path = sources.path(row, "samples", temperature=temperature)
    images = sources.images(arrays["images"], row, path, leading=1)
    sources.require(len(images), count, path, keys, "delete the file and run again to draw more")
    name, detail = describe_run(row["model"], temperature)
    if "label" in row:
        name, detail = row["label"], ""
    exploded = metadata.get("exploded_samples", 0)
    overflow = f"{exploded} of {len(images)} overflowed, clipped" if exploded else ""
    return Row(name, f"{detail}\n{overflow}".strip(), images[:count], overflow)


def read_data(sources: Sources, row: Mapping[str, Any], count: int, keys: str) -> Row:
    """A row of real images, evenly spaced over a split.

    Raises:
        UserError: see `read_rows`.
    """
    folder = sources.data_root / row["dataset"]
    sources.info(row["dataset"])
    images, path = open_split(folder, row["data"]), folder / f"{row['data']}.npy"
    sources.require(len(images), count, path, keys, "prepare more images")
    shown = sources.images(np.ascontiguousarray(evenly_spaced(images, count)), row, path, leading=1)
    name, detail = (row["label"], "") if "label" in row else ("Data", f"{row['data']} images")
    return Row(name, detail, shown)


def describe_run(model: str, temperature: float) -> tuple[str, str]:
    """A run's label: the model's name, and in small its variant and the temperature."""
    name, variant = split_label(model)
    return name, f"{variant}\n{drawn_at(temperature)}".lstrip()


def split_label(model: str) -> tuple[str, str]:
    """A model's printed name in two: what it is, and its variant (in brackets, or after a comma)."""
    name, mark, rest = re.fullmatch(r"(.*?)(?:( \(|, )(.*))?", model_label(model)).groups(default="")
    return name, re.sub(r"^([^()]*)\)", r"\1", rest) if mark == " (" else rest


def label_lines(row: Row, inches: float) -> list[tuple[str, float, str]]:
    """A row's label wrapped to a width, line by line: text, size, colour."""
    lines = []
    for text, size, color in ((row.name, style.LABEL, style.INK), (row.detail, style.DETAIL, style.GREY)):
        wrapped = [style.wrap(line, inches, size) for line in text.splitlines()]
        lines += [(line, size, color) for line in "\n".join(wrapped).splitlines()]
    return lines
