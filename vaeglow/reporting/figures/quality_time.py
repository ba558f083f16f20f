"""Quality against training time.

Section 4.3 of the paper: FID, KID and bits/dim against training seconds, those of a run's base included, as steps take
that are timed in turns (`vaeglow.evaluation.timing.training_time`).
"""

from vaeglow.evaluation.timing import clock_words, training_time
from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import DRAWN_ROWS, PROTOCOL, Lines, Numbers, drawn_at, with_commas
from vaeglow.reporting.style import GREY, Axes, Page

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


def values(points: Lines, name: str) -> Lines:
    """A value of a run's points, as `curve` takes it; only points where all seeds have one."""
    return points.xs(name, axis=1, level=1).dropna().T.astype(float)


def read_run(lines: Lines) -> tuple[Numbers, str, float, Lines]:
    """A row's first line, label, when its own phase begins, and its points: by seconds, a column a seed and value."""
    import pandas as pd

    row = lines.iloc[0]
    begins, epoch = training_time(row["config"], row["training"], row["timing"])
    points = pd.concat(
        [pd.DataFrame(result.value("points")).set_index("epoch") for result in lines["snapshot_metrics"]],
        axis=1,
        keys=lines["seed"],
    ).sort_index()
    points.index = begins + points.index * epoch
    return row, with_commas(row["label"], drawn_at(row["at"])), begins, points


def logarithmic(axes: Axes) -> None:
    """Make an axis of times logarithmic, with plain numbers, and say so in its label."""
    axes.set_xscale("log", subs=[2, 3, 5, 7])
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.tick_params(axis="x", which="both", length=3.0, pad=4.0)
    axes.set_xlabel(f"{axes.get_xlabel()} (log scale)")


def draw(sources: Sources, page: Page) -> None:
    """A panel for each of `PANELS`, a curve for each row.

    A dotted vertical line marks where a run's own phase begins; a dotted line joins it to its base. Points
    without a finite value (samples overflowed) are left out, and counted in a note.
    """
    import pandas as pd

    runs = [read_run(lines) for lines in sources.by_row(*READS)]
    by_key = {(row["dataset"], row["model"]): points for row, _, _, points in runs}
    times = [time for *_, points in runs for time in points.index]
    ends = max(times)
    unit, name = (HOUR, "hours") if ends > 3 * HOUR else (1.0, "seconds")
    for *_, points in runs:
        points.index /= unit
    left_out = []
    panels = page.charts([f"{title} (lower is better)" for _, title in PANELS.values()], 3, 2.7)
    for axes, (value, (error, title)) in zip(panels, PANELS.items(), strict=True):
        for row, label, begins, points in runs:
            look = sources.look(row)
            bound = row["likelihood"].value("bound").replace("<=", "\u2264")
            named = f"{label} ({bound})" if bound else label
            mean = curve(
                axes, values(points, value), values(points, error).iloc[0] if error else None, label=named, **look
            )
            missing = len(points) - len(mean)
            if missing:
                left_out.append(f"{missing} {title} of {label}")
            if begins:
                axes.axvline(begins / unit, color=GREY, label="phase 2 begins", zorder=0, **DOTTED)
                base = by_key.get((row["dataset"], row.get("base")))
                last = [] if base is None else [values(base, value).mean()[-1:]]
                axes.plot(pd.concat([*last, mean[:1]]), color=look["color"], **DOTTED)
        axes.set_xlabel(f"training time, {name}")
        axes.margins(y=0.12)
        if 0 < min(times) < ends / WIDE:
            logarithmic(axes)
        else:
            axes.set_xlim(left=0.0)
    timing = runs[0][0]["timing"]
    page.notes.append(
        NOTE.format(clock_words(timing), timing.value("device"), sources.protocol_note(sets=1))
    )  # of a snapshot
    if left_out:
        page.notes.append(f"Not shown, because not finite: {'; '.join(left_out)}.")
