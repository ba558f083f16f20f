"""Quality against the budget of training: a point for each run, a curve for the rows that share a label.

Section 4.3 of the paper: FID, KID and bits/dim against training seconds, those of a run's base included, as steps take
that are timed in turns (`vaeglow.evaluation.timing.training_time`). Each run is trained to its end, and has lowered its
rate by then, unlike the snapshots of `quality_time`.
"""

from vaeglow.evaluation.timing import clock_words, training_time
from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.figures.quality_time import HOUR, logarithmic
from vaeglow.reporting.frame import DRAWN_ROWS, PROTOCOL, Lines

READS = ("metrics", "likelihood", "config", "training", "timing")
OF_BASES = ("timing",)
ERRORS = "One seed."
SCHEMA = PROTOCOL | DRAWN_ROWS
PANELS = {"FID": ("metrics", "fid"), "KID": ("metrics", "kid"), "bits/dim": ("likelihood", "bits_per_dim")}
NOTE = (
    "Training time: the steps of all phases, times the {} of a step, all models timed in turns on one machine ({}). "
    "Each point is a training to its end. Bits/dim: K=1. {}"
)


def hours(line: Lines) -> float:
    """Of all phases of a run."""
    begins, epoch = training_time(line["config"], line["training"], line["timing"])
    return (begins + epoch * line["config"].value("training", "epochs")) / HOUR


def draw(sources: Sources, page: style.Page) -> None:
    """A panel for each of `PANELS`, on a logarithmic axis of time; a model's second curve is dashed."""
    frame = sources.frame(*READS)
    frame["hours"] = frame.apply(hours, axis=1)
    panels = page.charts([f"{title} (lower is better)" for title in PANELS], 3, 2.7)
    for axes, (kind, key) in zip(panels, PANELS.values(), strict=True):
        frame["value"] = [result.number(key) for result in frame[kind]]
        drawn = set()
        for label, lines in frame.groupby("label", sort=False):
            row = lines.iloc[0]
            values = lines.pivot(index="seed", columns="hours", values="value")
            linestyle = "--" if row["model"] in drawn else "-"
            curve(axes, values, label=label, linestyle=linestyle, **sources.look(row))
            drawn.add(row["model"])
        axes.set_xlabel("training time, hours")
        logarithmic(axes)
        axes.margins(y=0.12)
    timing = frame["timing"].iloc[0]
    page.notes.append(NOTE.format(clock_words(timing), timing.value("device"), sources.protocol_note()))
