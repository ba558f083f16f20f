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

from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.config.registry import kinds_of
from vaeglow.data.arrays import evenly_spaced, open_split, read_info, require_images
from vaeglow.errors import UserError
from vaeglow.files import sha256_json
from vaeglow.reporting import frame, style
from vaeglow.reporting.columns import t_end
from vaeglow.reporting.frame import Folder, Lines, Numbers, Row, Spec
from vaeglow.reporting.style import Axes, Figure, Page
from vaeglow.results import REMEDY, Result, check_together

FEWER = "lower the figure's columns or lines in the config, or delete the file to have more images made"
FIRST = "Of the first seed."
SEVERAL = "Pale: each seed. Strong: their mean, from three seeds on with its 95% interval (Student's t)."
PALE = {"alpha": 0.4, "linewidth": 0.7, "markersize": 2.5, "zorder": 1}  # one seed of several


def draw(spec: Spec, results_root: Folder, data_root: Folder) -> Figure:
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
    datasets = sources.datasets
    plural = "s" if len(datasets) > 1 else ""
    seeds = ", ".join(map(str, spec["seeds"]))
    with style.styled():
        page = Page(spec["title"])
        kind.draw(sources, page)
        page.notes += [f"Left out: {reason}." for reason in spec.get("left_out", [])]
        page.notes.append(SEVERAL if len(spec["seeds"]) > 1 else getattr(kind, "ERRORS", FIRST))
        check_together(sources.evidence)
        about = f"preset {spec['preset']} \u00b7 dataset{plural} {', '.join(datasets)} \u00b7 seed {seeds}"
        return page.finish(about, sources.evidence)


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


class Sources(frame.Sources):
    """What one figure reads by its spec: results, and images."""

    def __init__(self, spec: Spec, results_root: Folder, data_root: Folder) -> None:
        super().__init__(spec, results_root)
        self.datasets = list(dict.fromkeys(row["dataset"] for row in spec["rows"]))
        self.data_root = Path(data_root)

    def images(self, result: Result, array: str, count: int) -> np.ndarray:
        """The first of a result's images, their levels spread over 0..255.

        Args:
            result: read with `array`.
            array: its name: uint8 [N, ..., C, H, W].
            count: how many are shown.

        Raises:
            UserError: fewer than that, or of data that were prepared again since.
        """
        images = result.arrays[array]
        dataset = result.value("dataset")
        info = read_info(self.data_root / dataset)
        if result.value("data_sha256") != sha256_json(info["sha256"]):
            raise UserError(f"{result.path} was made from other data than {dataset}'s dataset.json describes: {REMEDY}")
        self.require(images, count, result.path)
        return full_range(images[:count], info["levels"])

    def real_images(self, row: Row, count: int) -> np.ndarray:
        """The same of images evenly spaced over the split that a row names: [count, C, H, W]."""
        folder = self.data_root / row["dataset"]
        images = open_split(folder, row["data"])
        self.require(images, count, folder)
        return full_range(evenly_spaced(images, count), read_info(folder)["levels"])

    def require(self, images: np.ndarray, count: int, path: Path) -> None:
        """UserError where a file has fewer images than are shown."""
        require_images(len(images), count, str(path), f"figure {self.spec['name']}", FEWER)

    def label(self, row: Row) -> str:
        """What a row's model is called, with its dataset where the figure shows several."""
        name = row.get("label") or self.spec["styles"][row["model"]]["label"]
        return f"{name}, {row['dataset']}" if len(self.datasets) > 1 else name

    def look(self, row: Row) -> dict[str, str]:
        """The colour and marker of a row's model, as keywords for `Axes.plot`."""
        style = self.spec["styles"][row["model"]]
        return {"color": style["color"], "marker": style["marker"]}

    def protocol_note(self, sets: int | None = None) -> str:
        """How FID etc. were measured; `sets` where it is not the protocol's number of sets."""
        sets = sets or self.spec["sets"]
        count = self.spec["images"]
        features = self.spec["features"]
        drawn = f"{sets} sets of {count:,} samples (all but FID: the first), each" if sets > 1 else f"{count:,} samples"
        biased = ", fewer images than features: FID biased upward" if count < features else ""
        against = f"{count:,} {self.spec['split']} images, {features} features{biased}"
        return f"{drawn} against {against} (protocol {self.spec['protocol']})."


def full_range(images: np.ndarray, levels: int) -> np.ndarray:
    """Pixel values 0..levels-1 as 0..255."""
    return (images.astype(np.uint16) * 255 // (levels - 1)).astype(np.uint8)
