"""FID against epochs beside published numbers: how far the last point is, and whether the curve still falls.

Table 1 of the paper. A run's points are its snapshots and its end; epochs of its base come before its own.
"""

from vaeglow.evaluation.timing import epochs_of
from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import DRAWN_ROWS, PROTOCOL, Lines
from vaeglow.reporting.style import GREY, Page

READS = ("snapshot_metrics", "config")
ERRORS = "One seed."
PUBLISHED = {
    "type": "object",
    "additionalProperties": {"type": "number"},
    "description": "FIDs of a paper, by what the paper calls the model; the figure's caption states the paper",
}
SCHEMA = PROTOCOL | DRAWN_ROWS | {"published": PUBLISHED}
DASHED = {"linestyle": "--", "linewidth": 1.0}
NOTE = (
    "Points of a curve are snapshots of one training: a shorter one would have lowered its rate earlier. "
    "Dashed: published. {}"
)


def points_of(lines: Lines) -> Lines:
    """The FIDs of a row, a line a seed, by epochs of all phases; NaN where there is none."""
    import pandas as pd

    values = {}
    for _, line in lines.iterrows():
        *before, _ = epochs_of(line["config"]).values()
        points = line["snapshot_metrics"].value("points")
        values[line["seed"]] = {sum(before) + point["epoch"]: point["fid"] for point in points}
    return pd.DataFrame(values, dtype=float).sort_index().T


def draw(sources: Sources, page: Page) -> None:
    """A curve for each row, a dashed line for each published FID."""
    [axes] = page.charts(["FID (lower is better)"], 1, 3.4)
    ends = []
    for lines in sources.by_row(*READS):
        row = lines.iloc[0]
        points = points_of(lines)
        finite = points.dropna(axis=1)
        mean = curve(axes, finite, label=row["label"], **sources.look(row))
        last = ", ".join(f"{fid:.1f}" for fid in mean.iloc[-2:])
        ends.append(f"{row['label']}: FID {last} at the last points.")
        if len(finite.T) < len(points.T):
            ends.append(f"Not shown, because not finite: {len(points.T) - len(finite.T)} of {row['label']}.")
    for name, fid in sources["published"].items():
        axes.axhline(fid, color=GREY, **DASHED)
        axes.annotate(
            f"{name}, published: {fid}", (1, fid), (-4, 3), ("axes fraction", "data"), "offset points", ha="right"
        )
    axes.set_xlabel("epochs, of all phases")
    axes.margins(y=0.12)
    page.notes.append(NOTE.format(sources.protocol_note(sets=1)))
    page.notes += ends
