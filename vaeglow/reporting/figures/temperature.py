"""FID, KID, recall and diversity against temperature.

Section 3.5 of the paper. A curve for each model, its best point circled.
"""

from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import DRAWN_ROWS, PROTOCOL, numbers
from vaeglow.reporting.style import INK, Page

READS = ("metrics",)
ERRORS = "One seed. Error bars: one standard error of the KID."
SCHEMA = PROTOCOL | DRAWN_ROWS
# Value: heading, and which end of it is good.
PANELS = {
    "fid": ("FID (lower is better)", "idxmin"),
    "kid": ("KID (lower is better)", "idxmin"),
    "precision": ("precision (higher is better)", "idxmax"),
    "recall": ("recall (higher is better)", "idxmax"),
    "diversity": ("diversity (feature distance)", None),
}


def draw(sources: Sources, page: Page) -> None:
    """A panel for each of `PANELS`."""
    frame = sources.frame(*READS)
    models = [lines.sort_values("temperature") for _, lines in frame.groupby(["dataset", "model"], sort=False)]
    panels = page.charts([title for title, _ in PANELS.values()], 3, 4.4)
    for axes, (value, (_, best)) in zip(panels, PANELS.items(), strict=True):
        for lines in models:
            look = sources.look(lines.iloc[0])
            mean = curve(
                axes,
                lines.assign(value=numbers(lines, f"metrics.{value}")).pivot_table(
                    index="seed", columns="temperature", values="value"
                ),
                numbers(lines, "metrics.kid_standard_error") if value == "kid" else None,
                label=lines["label"].iloc[0],
                **look,
            )
            if best and mean.nunique() > 1:
                at = getattr(mean, best)()
                axes.plot(
                    [at],
                    [mean[at]],
                    "o",
                    label="best temperature",
                    zorder=4,
                    color=look["color"],
                    markersize=10,
                    fillstyle="none",
                    markeredgewidth=1.0,
                )
        axes.set_xlabel("temperature T")
        axes.margins(x=0.08, y=0.12)
    for diversity in numbers(frame, "metrics.reference_diversity").unique():
        panels[-1].axhline(diversity, color=INK, linestyle="--", linewidth=1.0, label="real images")
    page.notes.append(sources.protocol_note())
