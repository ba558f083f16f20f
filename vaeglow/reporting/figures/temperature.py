"""FID, KID, recall and diversity against temperature.

Section 3.5 of the paper. A curve for each model, its best point circled.
"""

from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import numbers

READS = ("metrics",)
ERRORS = "One seed. Error bars: one standard error of the KID."
SCHEMA = {"protocol": {"$ref": "#/$defs/protocol_name", "default": None}, "rows": {"$ref": "#/$defs/drawn_rows"}}
# Value: heading, and which end of it is good.
PANELS = {
    "fid": ("FID (lower is better)", "idxmin"),
    "kid": ("KID (lower is better)", "idxmin"),
    "precision": ("precision (higher is better)", "idxmax"),
    "recall": ("recall (higher is better)", "idxmax"),
    "diversity": ("diversity (feature distance)", None),
}


def draw(sources: Sources, page: style.Page) -> None:
    """A panel for each of `PANELS`."""
    frame = sources.frame(*READS)
    panels = page.charts([title for title, _ in PANELS.values()], 3, 4.4)
    for axes, (value, (_, best)) in zip(panels, PANELS.items(), strict=True):
        for _, lines in frame.groupby(["dataset", "model"], sort=False):
            lines = lines.sort_values("temperature").assign(value=numbers(lines, f"metrics.{value}"))
            values = lines.pivot_table(index="seed", columns="temperature", values="value")
            errors = numbers(lines, "metrics.kid_standard_error") if value == "kid" else None
            label, look = lines["label"].iloc[0], sources.look(lines.iloc[0])
            mean = curve(axes, values, errors, label=label, **look)
            if best and mean.nunique() > 1:
                at = getattr(mean, best)()
                ring = {"color": look["color"], "markersize": 10, "fillstyle": "none", "markeredgewidth": 1.0}
                axes.plot([at], [mean[at]], "o", label="best temperature", zorder=4, **ring)
        axes.set_xlabel("temperature T")
        axes.margins(x=0.08, y=0.12)
    for value in numbers(frame, "metrics.reference_diversity").unique():
        panels[-1].axhline(value, color=style.INK, linestyle="--", linewidth=1.0, label="real images")
    page.notes.append(sources.protocol_note())
