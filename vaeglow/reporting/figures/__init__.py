"""Figures of config's `figures`, a module for each kind. No torch; matplotlib is imported when a figure is drawn.

A kind's module has

READS                -> what it reads of each row (keys of `vaeglow.paths.RESULTS`)
SCHEMA               -> its entries' own keys in config, a JSON schema each
ERRORS               -> of a chart: its note on the error bars of a single seed. A chart shows all seeds, by `curve`; a
                        figure without `ERRORS` the first
draw(sources, page)  -> reads by `Sources`, draws on a `vaeglow.reporting.style.Page`
OF_BASES             -> optional: what it reads of a row's base, of the base's base, ...
needs(entry)         -> optional: what else it reads, a list of {"what", "preset", "dataset", "model"}
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.config.registry import kinds_of
from vaeglow.data.arrays import evenly_spaced, open_split, read_info, require_images
from vaeglow.errors import UserError
from vaeglow.files import sha256_json
from vaeglow.reporting import frame, style
from vaeglow.reporting.columns import t_end
from vaeglow.reporting.frame import Lines, Numbers, Spec
from vaeglow.reporting.style import Axes, Figure, Page
from vaeglow.results import REMEDY, Result, check_together

FEWER = "lower the figure's columns or lines in the config, or delete the file to have more images made"
FIRST = "Of the first seed."
SEVERAL = "Pale: each seed. Strong: their mean, from three seeds on with its 95% interval (Student's t)."
PALE = {"alpha": 0.4, "linewidth": 0.7, "markersize": 2.5, "zorder": 1}  # one seed of several


def draw(spec: Spec, results_root: str | Path, data_root: str | Path) -> Figure:
    """Draw the figure that a spec describes.

    Args:
        spec: see `vaeglow.config.plan.spec`; its `kind` is one of `vaeglow.config.registry`.
        results_root: the folder that holds the presets' folders.
        data_root: the folder that holds the prepared datasets' folders.

    Returns:
        A figure for `vaeglow.reporting.style.save`.

    Raises:
        UserError: files are missing, damaged, too short, of something else, or do not belong together.
    """
    sources = Sources(spec, results_root, data_root)
    datasets = list(dict.fromkeys(row["dataset"] for row in spec["rows"]))
    named = f"dataset{'s' * (len(datasets) > 1)} {', '.join(datasets)}"
    seeds = ", ".join(map(str, spec["seeds"]))
    kind = kinds_of("figures")[spec["kind"]]
    with style.styled():
        page = Page(spec["title"])
        kind.draw(sources, page)
        page.notes += [f"Left out: {reason}." for reason in spec.get("left_out", [])]
        page.notes.append(SEVERAL if len(spec["seeds"]) > 1 else getattr(kind, "ERRORS", FIRST))
        check_together(sources.results)
        return page.finish(f"preset {spec['preset']} \u00b7 {named} \u00b7 seed {seeds}", sources.results)


def curve(axes: Axes, values: Lines, errors: Any = None, order: int = 1, aside: float = 0.0, **look: Any) -> Numbers:
    """A curve of each seed, pale, and of their mean, which is returned.

    Args:
        axes: where.
        values: a row for each seed; the columns are the points' x.
        errors: of the points of a single seed; several have the mean's 95% t interval.
        order: -1 if the columns are the points' y.
        aside: how far the pale points are from their columns.
        **look: for `Axes.errorbar`.
    """
    mean = values.mean()
    if len(values) > 1:
        axes.plot(*(values.columns + aside, values.T)[::order], **look | PALE)
        errors = values.apply(t_end, end=1) - mean
    axes.errorbar(*(mean.index, mean)[::order], *(errors, None)[::order], **look)
    return mean


class Sources:
    """What one figure reads by its `spec`; `results` are all that were read, in order."""

    def __init__(self, spec: Spec, results_root: str | Path, data_root: str | Path) -> None:
        self.spec: dict[str, Any] = {**spec, "seed": spec["seeds"][0]}
        self.results: list[Result] = []
        self._results_root, self._data_root = results_root, Path(data_root)

    def frame(self, *kinds: str, rows: Sequence[Mapping[str, Any]] = ()) -> Lines:
        """Results of all rows, or of others, with their `label`: see `vaeglow.reporting.frame.results_frame`."""
        rows = rows or self.spec["rows"]
        found = frame.results_frame(rows, self._results_root, kinds, self.spec)
        found["label"] = [self.label(rows[row]) for row in found["row"]]
        self.results += frame.results_of(found)
        return found

    def read(self, kind: str, row: Mapping[str, Any], *arrays: str) -> Result:
        """One result of a row, under its seed or the first, with arrays: see `vaeglow.reporting.frame.read`."""
        self.results.append(frame.read(self._results_root, kind, {**self.spec, **row}, self.spec, arrays))
        return self.results[-1]

    def images(self, result: Result, array: str, count: int) -> np.ndarray:
        """The first of a result's images, their levels spread over 0..255.

        Args:
            result: read with `array`.
            array: its name: uint8 [N, ..., C, H, W].
            count: how many are shown.

        Raises:
            UserError: fewer than that, or of data that were prepared again since.
        """
        images, dataset = result.arrays[array], result.value("dataset")
        info = read_info(self._data_root / dataset)
        if result.value("data_sha256") != sha256_json(info["sha256"]):
            raise UserError(f"{result.path} was made from other data than {dataset}'s dataset.json describes: {REMEDY}")
        require_images(len(images), count, str(result.path), f"figure {self.spec['name']}", FEWER)
        return full_range(images[:count], info["levels"])

    def real_images(self, row: Mapping[str, Any], count: int) -> np.ndarray:
        """The same of images evenly spaced over the split that a row names: [count, C, H, W]."""
        folder = self._data_root / row["dataset"]
        images = open_split(folder, row["data"])
        require_images(len(images), count, str(folder), f"figure {self.spec['name']}", FEWER)
        return full_range(evenly_spaced(images, count), read_info(folder)["levels"])

    def label(self, row: Mapping[str, Any]) -> str:
        """What a row's model is called, with its dataset where the figure shows several."""
        name = frame.row_label({key: row[key] for key in ("label", "model") if key in row}, self.spec["styles"])
        return f"{name}, {row['dataset']}" if len({row["dataset"] for row in self.spec["rows"]}) > 1 else name

    def look(self, row: Mapping[str, Any]) -> dict[str, str]:
        """The colour and marker of a row's model, as keywords for `Axes.plot`."""
        return {key: self.spec["styles"][row["model"]][key] for key in ("color", "marker")}

    def protocol_note(self, sets: int | None = None) -> str:
        """How FID etc. were measured; `sets` where it is not the protocol's number of sets."""
        count, features, sets = self.spec["images"], self.spec["features"], sets or self.spec["sets"]
        drawn = f"{sets} sets of {count:,} samples (all but FID: the first), each" if sets > 1 else f"{count:,} samples"
        biased = ", fewer images than features: FID biased upward" if count < features else ""
        against = f"{count:,} {self.spec['split']} images, {features} features{biased}"
        return f"{drawn} against {against} (protocol {self.spec['protocol']})."


def full_range(images: np.ndarray, levels: int) -> np.ndarray:
    """Pixel values 0..levels-1 as 0..255."""
    return (images.astype(np.uint16) * 255 // (levels - 1)).astype(np.uint8)
