"""Quality against training time.

Section 4.3 of the paper: FID, KID and bits/dim against training seconds, those of a run's base included, as steps take
that are timed in turns (`vaeglow.evaluation.timing.training_time`).
"""

from typing import NamedTuple

from vaeglow.evaluation.timing import CLOCKS, clock_of, training_time
from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import DRAWN_ROWS, PROTOCOL, Lines, drawn_at, joined

READS = ("snapshot_metrics", "likelihood", "config", "training", "timing")
OF_BASES = ("timing",)
ERRORS = "One seed. Error bars: one standard error of the KID, and of bits/dim over images."
SCHEMA = PROTOCOL | DRAWN_ROWS
# Value of a point: its error, and the heading.
PANELS = {"fid": (None, "FID"), "kid": ("kid_standard_error", "KID"), "bits_per_dim": ("standard_error", "bits/dim")}
WIDE = 12.0  # last over first second, beyond which the axis is logarithmic
HOUR = 3600.0
DOTTED = {"linestyle": ":", "linewidth": 1.0}
NOTE = (
    "Training time: the steps so far, of both phases, times the {} of a step, all models timed in turns on one machine "
    "({}). Points of a curve are snapshots of one training: a shorter one would have lowered its rate earlier. "
    "Bits/dim: = exact for dequantised data, \u2264 an upper bound (K=1). {}"
)


class Run(NamedTuple):
    """A row of the figure: its run, and its base's, by dataset and model; its points by seconds, a column a seed."""

    key: tuple[str, str]
    base: tuple[str, str | None]
    label: str
    bound: str
    look: dict[str, str]
    begins: float  # seconds of the phases before its own
    points: Lines

    def values(self, name: str, unit: float) -> Lines:
        """A value of the points, as `curve` takes it, in units of time; only points where all seeds have one."""
        points = self.points.set_axis(self.points.index / unit)
        return points.xs(name, axis=1, level=1).dropna().T.astype(float)


def read_run(sources: Sources, lines: Lines) -> Run:
    """What a row shows."""
    import pandas as pd

    row = lines.iloc[0]
    begins, epoch = training_time(row["config"], row["training"], row["timing"])
    seeds = [pd.DataFrame(result.value("points")).set_index("epoch") for result in lines["snapshot_metrics"]]
    points = pd.concat(seeds, axis=1, keys=lines["seed"]).sort_index()
    points.index = begins + points.index * epoch
    return Run(
        key=(row["dataset"], row["model"]),
        base=(row["dataset"], sources.spec["rows"][row["row"]].get("base")),
        label=joined(row["label"], drawn_at(row["at"])),
        bound=row["likelihood"].value("bound").replace("<=", "\u2264"),
        look=sources.look(row),
        begins=begins,
        points=points,
    )


def draw(sources: Sources, page: style.Page) -> None:
    """A panel for each of `PANELS`, a curve for each row.

    A dotted vertical line marks where a run's own phase begins; a dotted line joins it to its base. Points
    without a finite value (samples overflowed) are left out, and counted in a note.
    """
    import pandas as pd

    lines_of_rows = sources.by_row(*READS)
    runs = [read_run(sources, lines) for lines in lines_of_rows]
    by_key = {run.key: run for run in runs}
    starts = min(run.points.index.min() for run in runs)
    ends = max(run.points.index.max() for run in runs)
    unit, name = (HOUR, "hours") if ends > 3 * HOUR else (1.0, "seconds")
    left_out = []
    panels = page.charts([f"{title} (lower is better)" for _, title in PANELS.values()], 3, 2.7)
    for axes, (value, (error, title)) in zip(panels, PANELS.items(), strict=True):
        for run in runs:
            errors = run.values(error, unit).iloc[0] if error else None
            label = f"{run.label} ({run.bound})" if run.bound else run.label
            mean = curve(axes, run.values(value, unit), errors, label=label, **run.look)
            missing = len(run.points) - len(mean)
            if missing:
                left_out.append(f"{missing} {title} of {run.label}")
            if run.begins:
                axes.axvline(run.begins / unit, color=style.GREY, label="phase 2 begins", zorder=0, **DOTTED)
                base = by_key.get(run.base)
                last = [base.values(value, unit).mean()[-1:]] if base else []
                axes.plot(pd.concat([*last, mean[:1]]), color=run.look["color"], **DOTTED)
        axes.set_xlabel(f"training time, {name}")
        axes.margins(y=0.12)
        if 0 < starts < ends / WIDE:
            axes.set_xscale("log", subs=[2, 5])
            axes.xaxis.set_minor_formatter("{x:g}")
            axes.xaxis.set_major_formatter("{x:g}")
        else:
            axes.set_xlim(left=0.0)
    timing = lines_of_rows[0]["timing"].iloc[0]
    clock = CLOCKS[clock_of(timing.value("device_kind"))]
    page.notes.append(NOTE.format(clock, timing.value("device"), sources.protocol_note(sets=1)))  # of a snapshot
    if left_out:
        page.notes.append(f"Not shown, because not finite: {'; '.join(left_out)}.")
