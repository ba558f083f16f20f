"""Quality against training time.

Section 4.3 of the paper: FID, KID and bits/dim against training seconds, those of a run's base included.
"""

from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.frame import drawn_at
from vaeglow.reporting.tables.timing import CLOCKS

READS = ("snapshot_metrics", "likelihood")
SCHEMA = {"protocol": {"$ref": "#/$defs/protocol_name", "default": None}, "rows": {"$ref": "#/$defs/drawn_rows"}}
# Value of a point: its error, and the heading.
PANELS = {"fid": (None, "FID"), "kid": ("kid_standard_error", "KID"), "bits_per_dim": ("standard_error", "bits/dim")}
WIDE = 12.0  # last over first second, beyond which the axis is logarithmic
NOTE = (
    "Time of the training steps in {}, both phases added up. Points of a curve are snapshots of one training: a "
    "shorter one would have lowered its rate earlier. Bits/dim: = exact for dequantised data, \u2264 an upper bound "
    "(K=1). "
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
        points = pd.DataFrame(row["snapshot_metrics"].value("points")).sort_values("total_seconds")
        sign = row["likelihood"].value("bound").replace("<=", "\u2264")
        runs.append((row, points, ", ".join(filter(None, (row["label"], drawn_at(row["at"])))), sign))
    by_model = {(row["dataset"], row["model"]): points for row, points, _, _ in runs}
    seconds = pd.concat([points["total_seconds"] for _, points, _, _ in runs])
    unit, name = (3600.0, "hours") if seconds.max() > 3 * 3600 else (1.0, "seconds")
    panels = page.charts([f"{title} (lower is better)" for _, title in PANELS.values()], 3, 2.7)
    left_out = []
    for axes, (value, (error, title)) in zip(panels, PANELS.items(), strict=True):
        for row, points, label, sign in runs:
            shown, look = points.dropna(subset=[value]), sources.look(row)
            seen = shown["total_seconds"] / unit, shown[value], shown.get(error)
            axes.errorbar(*seen, label=f"{label} ({sign})" if sign else label, **look)
            if len(shown) < len(points):
                left_out.append(f"{len(points) - len(shown)} {title} of {label}")
            if begin := row["snapshot_metrics"].number("base_seconds"):
                dotted = {"linestyle": ":", "linewidth": 1.0}
                axes.axvline(begin / unit, color=style.GREY, label="phase 2 begins", zorder=0, **dotted)
                base = by_model.get((row["dataset"], sources.spec["rows"][row["row"]].get("base")), points[:0])
                joined = pd.concat([base.dropna(subset=[value])[-1:], shown[:1]])
                axes.plot(joined["total_seconds"] / unit, joined[value], color=look["color"], **dotted)
        axes.set_xlabel(f"training time, {name}")
        axes.margins(y=0.12)
        if 0 < seconds.min() < seconds.max() / WIDE:
            axes.set_xscale("log", subs=[2, 5])
            axes.xaxis.set_minor_formatter("{x:g}")
            axes.xaxis.set_major_formatter("{x:g}")
        else:
            axes.set_xlim(left=0.0)
    clock = CLOCKS[runs[0][0]["snapshot_metrics"].value("clock")]
    page.notes.append(NOTE.format(clock) + sources.protocol_note(sets=1))  # a snapshot draws one set
    devices = [row["snapshot_metrics"].value("training_device") for row, *_ in runs]
    if len(set(devices)) > 1:
        named = (f"{label} on {device}" for (_, _, label, _), device in zip(runs, devices, strict=True))
        page.notes.append(f"Seconds of different machines do not compare: {'; '.join(named)}.")
    if left_out:
        page.notes.append(f"Not shown, because not finite: {'; '.join(left_out)}.")
