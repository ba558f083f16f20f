"""Seconds per epoch of Glow and of our two phases, and the speed-up: Table 4.

The paper's "Ours (Avg.)" is the mean of the VAE's and the Glow layer's time per epoch, as both train for equally many
epochs (section 4.3); the speed-up is Glow's time over that (`vaeglow.evaluation.timing`).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import exp

import numpy as np

from vaeglow.evaluation.timing import Ratios, clock_of, log_ratios, ratios, seconds_an_image
from vaeglow.reporting.columns import Column, Value, in_order, same, significant
from vaeglow.reporting.frame import PLAIN_ROWS, Array, Lines, PerRow, Sources, first

READS = ("timing",)
SCHEMA = {
    "published": {"$ref": "#/$defs/published_name"},
    "presets": {
        "$ref": "#/$defs/models",
        "description": "the presets whose networks are timed, each row under each of them",
    },
    **PLAIN_ROWS,
}
PHASES = {"vae": " (phase 1)", "vae_glow": ": Glow layer (phase 2)"}  # the part of ours that a row times


def timings(sources: Sources) -> Lines:
    """The results frame of a table of times: a line a row, `timing` with its model's own values.

    Its column `base` names the VAE of a Glow layer.
    """
    frame = sources.frame(*READS, seeds=[None])
    results = [
        replace(result, content=result.content | result.value("models", model))
        for result, model in zip(frame["timing"], frame["model"], strict=True)
    ]
    return frame.assign(timing=results, kind=[result.value("kind") for result in results], base=frame.get("base"))


def rows(sources: Sources) -> PerRow:
    """Each model's line, preset by preset; after each Glow layer the paper's "Ours (Avg.)", if its VAE has a row.

    A mean has the lines of both models and, where one was timed, Glow's, which its time is compared with.

    Raises:
        UserError: a file is missing or of something else.
    """
    import pandas as pd

    for _, lines in timings(sources).groupby(["preset", "dataset"], sort=False):
        glow = lines[lines["kind"] == "glow"][:1]
        for index, kind, name, base in lines[["kind", "label", "base"]].itertuples():
            own = lines.loc[[index]]
            yield own.assign(label=name + PHASES.get(kind, ""))
            if kind == "vae_glow":
                vae = lines[lines["model"] == base]
                if not vae.empty:
                    yield pd.concat([own, vae, glow]).assign(label=f"{name}: average of both phases")


def seconds_of_row(lines: Lines, **which: str) -> Array:
    """Seconds an image of a row's model, or of the two it is the mean of: see `seconds_an_image`."""
    return seconds_an_image(first(lines, "timing"), lines["model"][:2], **which)


def epoch(lines: Lines, clock: str) -> Array | None:
    """Seconds of an epoch in each round: [rounds]; CPU seconds only where the CPU computes."""
    if clock not in ("seconds", clock_of(first(lines, "timing.device_kind"))):
        return None
    return seconds_of_row(lines, clock=clock) * first(lines, "timing.epoch_images")


def speed_ups(lines: Lines) -> Ratios:
    """Glow's time over that of a mean."""
    if len(lines) < 3:
        return {}
    layer, vae, glow = lines["model"]
    return ratios(first(lines, "timing"), {glow: 2}, {layer: 1, vae: 1})[0]


def origin(lines: Lines) -> str:
    """The file, or the models of a mean."""
    if len(lines) > 1:
        layer, vae = lines["model"][:2]
        return f"mean of {vae} and {layer}"
    return "results/{preset}/{dataset}/timing.json".format(**lines.iloc[0])


def median(name: str, value: Value, header: str) -> Column:
    """The median of the rounds, where there are any."""
    return Column(name, value, header, significant, summary=np.median)


def ratio_columns(name: str, ratios_of: Callable[[Lines], Ratios], header: str) -> list[Column]:
    """The mean of the logs of ratios, as a ratio, and by how many timings."""
    return [
        Column(name, lambda lines: log_ratios(ratios_of(lines)), header, lambda log: significant(exp(log))),
        Column("timings", lambda lines: len(ratios_of(lines)) or None, "Timings"),
    ]


def single(column: Column) -> Column:
    """The column, empty for a mean of two models."""
    return column._replace(value=lambda lines: column.value(lines) if len(lines) == 1 else None)


OF_ONE = [
    median("sampling_images_per_second", lambda lines: 1 / seconds_of_row(lines, what="sampling"), "Sampled images/s"),
    same("timing.batch_size", "Batch", name="sampling_batch_size"),
    same("timing.parameters", "Parameters"),
    median("images_per_second", lambda lines: 1 / seconds_of_row(lines), "Images/s"),
    same("timing.batch_size", "Batch"),
    same("timing.rounds", name="windows"),
    same("timing.training.steps", name="steps_per_window"),
    same("timing.peak_memory_bytes", "Peak memory (MiB)", lambda size: f"{size / 2**20:.0f}", "peak_memory_mib"),
    same("timing.peak_memory_of"),
]
# What tables of times have.
TIMED = [
    same("preset", "Networks of preset"),
    same("timing.epoch_images"),
    same("timing.device_kind"),
    same("timing.threads", "Threads"),
    Column("origin", origin),
    median("seconds_per_epoch", partial(epoch, clock="seconds"), "s/epoch"),
    median("cpu_seconds_per_epoch", partial(epoch, clock="cpu_seconds"), "CPU s/epoch"),
    *map(single, OF_ONE),
]
COLUMNS = in_order(
    """
    model seconds_per_epoch seconds_per_epoch_low seconds_per_epoch_high cpu_seconds_per_epoch
    speed_up speed_up_low speed_up_high source dataset preset batch_size peak_memory_mib device threads
    images_per_second images_per_second_low images_per_second_high
    sampling_images_per_second sampling_images_per_second_low sampling_images_per_second_high sampling_batch_size
    epoch_images windows steps_per_window peak_memory_of parameters device_kind commit run origin
    speed_up_lower speed_up_upper timings
    """,
    *TIMED,
    *ratio_columns("speed_up", speed_ups, "Glow / this"),
)
SHOWN = """
    model preset seconds_per_epoch cpu_seconds_per_epoch speed_up timings images_per_second sampling_images_per_second
    batch_size peak_memory_mib parameters device threads dataset source
"""
