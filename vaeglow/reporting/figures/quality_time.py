"""Quality against training time.

Section 4.3 of the paper: FID, KID and bits/dim against training seconds, those of a run's base included, as steps take
that are timed in turns (`vaeglow.reporting.tables.timing.training_time`).
"""

from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.frame import drawn_at
from vaeglow.reporting.tables.timing import CLOCKS, clock_of, training_time

READS = ("snapshot_metrics", "likelihood", "config", "training", "timing")
OF_BASES = ("timing",)
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
    for _, row in frame.iterrows():
        before, epoch = training_time(*(row[what] for what in ("config", "training", "timing")))
        points = pd.DataFrame(row["snapshot_metrics"].value("points")).sort_values("epoch")
        points["seconds"] = before + points["epoch"] * epoch
        sign = row["likelihood"].value("bound").replace("<=", "\u2264")
        runs.append((row, points, before, ", ".join(filter(None, (row["label"], drawn_at(row["at"])))), sign))
    by_model = {(row["dataset"], row["model"]): points for row, points, *_ in runs}
    seconds = pd.concat([points["seconds"] for _, points, *_ in runs])
    unit, name = (3600.0, "hours") if seconds.max() > 3 * 3600 else (1.0, "seconds")
    panels = page.charts([f"{title} (lower is better)" for _, title in PANELS.values()], 3, 2.7)
    left_out = []
    for axes, (value, (error, title)) in zip(panels, PANELS.items(), strict=True):
        for row, points, before, label, sign in runs:
            shown, look = points.dropna(subset=[value]), sources.look(row)
            seen = shown["seconds"] / unit, shown[value], shown.get(error)
            axes.errorbar(*seen, label=f"{label} ({sign})" if sign else label, **look)
            if len(shown) < len(points):
                left_out.append(f"{len(points) - len(shown)} {title} of {label}")
            if before:
                dotted = {"linestyle": ":", "linewidth": 1.0}
                axes.axvline(before / unit, color=style.GREY, label="phase 2 begins", zorder=0, **dotted)
                base = by_model.get((row["dataset"], sources.spec["rows"][row["row"]].get("base")), points[:0])
                joined = pd.concat([base.dropna(subset=[value])[-1:], shown[:1]])
                axes.plot(joined["seconds"] / unit, joined[value], color=look["color"], **dotted)
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
