"""Quality against training time.

Section 4.3 of the paper: FID, KID and bits/dim against training seconds, those of a run's base included, as steps take
that are timed in turns (`vaeglow.reporting.tables.timing.training_time`).
"""

import numpy as np

from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import Lines, drawn_at
from vaeglow.reporting.tables.timing import CLOCKS, clock_of, training_time

READS = ("snapshot_metrics", "likelihood", "config", "training", "timing")
OF_BASES = ("timing",)
ERRORS = "One seed. Error bars: one standard error of the KID, and of bits/dim over images."
SCHEMA = {"protocol": {"$ref": "#/$defs/protocol_name", "default": None}, "rows": {"$ref": "#/$defs/drawn_rows"}}
# Value of a point: its error, and the heading.
PANELS = {"fid": (None, "FID"), "kid": ("kid_standard_error", "KID"), "bits_per_dim": ("standard_error", "bits/dim")}
WIDE = 12.0  # last over first second, beyond which the axis is logarithmic
NOTE = (
    "Training time: the steps so far, of both phases, times the {} of a step, all models timed in turns on one machine "
    "({}). Points of a curve are snapshots of one training: a shorter one would have lowered its rate earlier. "
    "Bits/dim: = exact for dequantised data, \u2264 an upper bound (K=1). "
)


def draw(sources: Sources, page: style.Page) -> None:
    """A panel for each of `PANELS`, a curve for each row.

    A dotted vertical line marks where a run's own phase begins; a dotted line joins it to its base. Points
    without a finite value (samples overflowed) are left out, and counted in a note.
    """
    import pandas as pd

    frame = sources.frame(*READS)
    runs = []
    for _, lines in frame.groupby("row"):
        row = lines.iloc[0]
        before, epoch = training_time(*(row[what] for what in ("config", "training", "timing")))
        seeds = [pd.DataFrame(result.value("points")).set_index("epoch") for result in lines["snapshot_metrics"]]
        points = pd.concat(seeds, axis=1, keys=lines["seed"]).sort_index()
        points.index = before + points.index * epoch
        sign = row["likelihood"].value("bound").replace("<=", "\u2264")
        runs.append((row, points, before, ", ".join(filter(None, (row["label"], drawn_at(row["at"])))), sign))
    by_model = {(row["dataset"], row["model"]): points for row, points, *_ in runs}
    seconds = np.concatenate([points.index for _, points, *_ in runs])
    unit, name = (3600.0, "hours") if seconds.max() > 3 * 3600 else (1.0, "seconds")
    panels = page.charts([f"{title} (lower is better)" for _, title in PANELS.values()], 3, 2.7)
    left_out = []
    for axes, (value, (error, title)) in zip(panels, PANELS.items(), strict=True):
        for row, points, before, label, sign in runs:
            look = {"label": f"{label} ({sign})" if sign else label, **sources.look(row)}
            errors = finite(points, error, unit).iloc[0] if error else None
            mean = curve(axes, finite(points, value, unit), errors, **look)
            if len(mean) < len(points):
                left_out.append(f"{len(points) - len(mean)} {title} of {label}")
            if before:
                dotted = {"linestyle": ":", "linewidth": 1.0}
                axes.axvline(before / unit, color=style.GREY, label="phase 2 begins", zorder=0, **dotted)
                base = by_model.get((row["dataset"], sources.spec["rows"][row["row"]].get("base")), points[:0])
                joined = pd.concat([finite(base, value, unit).mean()[-1:], mean[:1]])
                axes.plot(joined, color=look["color"], **dotted)
        axes.set_xlabel(f"training time, {name}")
        axes.margins(y=0.12)
        if 0 < seconds.min() < seconds.max() / WIDE:
            axes.set_xscale("log", subs=[2, 5])
            axes.xaxis.set_minor_formatter("{x:g}")
            axes.xaxis.set_major_formatter("{x:g}")
        else:
            axes.set_xlim(left=0.0)
    timing = frame["timing"].iloc[0]
    clock = CLOCKS[clock_of(timing.value("device_kind"))]
    page.notes.append(NOTE.format(clock, timing.value("device")) + sources.protocol_note(sets=1))  # of a snapshot
    if left_out:
        page.notes.append(f"Not shown, because not finite: {'; '.join(left_out)}.")


def finite(points: Lines, value: str, unit: float) -> Lines:
    """A value of a row's points, as `curve` takes it, in units of time; only points where all seeds have one."""
    return points.set_axis(points.index / unit).xs(value, axis=1, level=1).dropna().T.astype(float)
