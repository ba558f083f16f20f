"""Figures of config's `figures`, a module for each kind. No torch; matplotlib is imported when a figure is drawn.

A kind's module has

READS                -> what it reads of each row (keys of `vaeglow.paths.RESULTS`)
SCHEMA               -> its entries' own keys in config, a JSON schema each
ERRORS               -> of a chart: its note on the error bars of a single seed. A chart shows all seeds, by `curve`; a
                        figure without `ERRORS` the first
draw(sources, page)  -> reads by `Sources`, draws on a `vaeglow.reporting.style.Page`
OF_BASES             -> optional: what it reads of a row's base, of the base's base, ...
needs(entry)         -> optional: what else it reads, a list of {"what", "preset", "dataset", "model"}
IMPORTANCE           -> optional: True: importance-weighted bounds of its runs are evaluated
"""

from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.config.registry import kinds_of
from vaeglow.data.arrays import evenly_spaced, open_split, read_info, require_images
from vaeglow.errors import UserError
from vaeglow.files import AnyPath, sha256_json
from vaeglow.reporting import frame, style
from vaeglow.reporting.columns import t_end
from vaeglow.reporting.frame import Array, Lines, Numbers, Row, Spec
from vaeglow.reporting.style import Axes, Figure, Page
from vaeglow.results import REMEDY, Result, check_together

FEWER = "lower the figure's columns or lines in the config, or delete the file to have more images made"
# How FIDs are measured, by the keys of a spec.
SETS = "{sets} sets of {images:,} samples (all but FID: the first), each"
AGAINST = " against {images:,} {split} images, {features} features{biased} (protocol {protocol})."
PALE = {"alpha": 0.4, "linewidth": 0.7, "markersize": 2.5, "zorder": 1}  # one seed of several


def draw(spec: Spec, results_root: AnyPath, data_root: Path) -> Figure:
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
    kind = kinds_of("figures")[spec["kind"]]
    plural = "s" if len(sources.datasets) > 1 else ""
    seeds = sorted({seed for row in spec["rows"] for seed in row.get("seeds", spec["seeds"])})
    with style.styled():
        page = Page(spec["title"])
        kind.draw(sources, page)
        page.notes += [f"Left out: {reason}." for reason in spec.get("left_out", [])]
        page.notes.append(
            "Pale: each seed. Strong: their mean, from three seeds on with its 95% interval (Student's t)."
            if len(seeds) > 1
            else getattr(kind, "ERRORS", "Of the first seed.")
        )
        check_together(sources.evidence)
        return page.finish(
            f"preset {spec['preset']} \u00b7 dataset{plural} {', '.join(sources.datasets)} "
            f"\u00b7 seed {', '.join(map(str, seeds))}",
            sources.evidence,
        )


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
        errors = values.apply(lambda column: t_end(column[~np.isnan(column)], end=1), raw=True) - mean
    axes.errorbar(*(mean.index, mean)[::order], *(errors, None)[::order], **look)
    return mean


class Sources(frame.Sources):
    """What one figure reads by its spec: results, and images."""

    def __init__(self, spec: Spec, results_root: AnyPath, data_root: Path) -> None:
        super().__init__(spec, results_root)
        self.datasets = list(dict.fromkeys(row["dataset"] for row in spec["rows"]))
        self.data_root = data_root

    def images(self, result: Result, count: int, *arrays: str) -> list[Array]:
        """The first of a result's images, their levels spread over 0..255, of each of these arrays.

        Args:
            result: read with `arrays`.
            count: how many are shown.
            *arrays: their names: uint8 [N, ..., C, H, W].

        Raises:
            UserError: fewer than that, or of data that were prepared again since.
        """
        dataset = result.value("dataset")
        info = read_info(self.data_root / dataset)
        if result.value("data_sha256") != sha256_json(info["sha256"]):
            raise UserError(f"{result.path} was made from other data than {dataset}'s dataset.json describes: {REMEDY}")
        images = [result.arrays[array] for array in arrays]
        require_images(min(map(len, images)), count, str(result.path), f"figure {self['name']}", FEWER)
        return [full_range(array[:count], info["levels"]) for array in images]

    def real_images(self, row: Row, count: int) -> Array:
        """The same of images evenly spaced over the split that a row names: [count, C, H, W]."""
        folder = self.data_root / row["dataset"]
        images = open_split(folder, row["data"])
        require_images(len(images), count, str(folder), f"figure {self['name']}", FEWER)
        return full_range(evenly_spaced(images, count), read_info(folder)["levels"])

    def label(self, row: Row) -> str:
        """What a row's model is called, with its dataset where the figure shows several."""
        name = row.get("label") or self["styles"][row["model"]]["label"]
        return f"{name}, {row['dataset']}" if len(self.datasets) > 1 else name

    def look(self, row: Row) -> dict[str, str]:
        """The colour and marker of a row's model, as keywords for `Axes.plot`."""
        style = self["styles"][row["model"]]
        return {key: style[key] for key in ("color", "marker")}

    def protocol_note(self, **changes: int) -> str:
        """How FID etc. were measured: by the spec, with changes."""
        spec = {**self.spec, **changes}
        drawn = SETS if spec["sets"] > 1 else "{images:,} samples"
        biased = ", fewer images than features: FID biased upward" if spec["images"] < spec["features"] else ""
        split = "training" if spec["split"] == "train" else spec["split"]
        return (drawn + AGAINST).format(**{**spec, "split": split}, biased=biased)


def full_range(images: Array, levels: int) -> Array:
    """Pixel values 0..levels-1 as 0..255."""
    return (images.astype(np.uint16) * 255 // (levels - 1)).astype(np.uint8)
