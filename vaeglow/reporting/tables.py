"""One table of published and measured numbers, as CSV for machines and Markdown for readers. No torch.

A published and a measured number share a column only with `source` between them. Published rows come first and
leave preset, seeds and counts empty: the papers' protocols cannot be recovered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vaeglow.config import nearest
from vaeglow.errors import UserError
from vaeglow.reporting.measured import Measurement, read_measurements

COLUMNS = (
    "model",
    "fid",
    "bits_per_dim",
    "bound",
    "source",
    "dataset",
    "preset",
    "epochs",
    "train_seconds",
    "seeds",
    "temperature",
    "fid_sd",
    "bits_per_dim_sd",
    "bits_per_dim_standard_error",
    "fid_samples",
    "exploded_samples",
    "fid_reference_images",
    "fid_features",
    "fid_split",
    "protocol",
    "likelihood_images",
    "dequantisation",
    "parameters",
    "device",
    "commit",
    "run",
    "origin",
)
PUBLISHED_COLUMNS = ("table", "model", "dataset", "fid", "bits_per_dim", "bound", "origin", "note")
LABELS = {
    "glow": "Glow",
    "glow_additive": "Glow, additive",
    "vae": "VAE",
    "vaeglow": "Ours (Glow layer, squeeze 2)",
    "vaeglow_as_written": "Ours as written (Glow layer, no squeeze)",
    "vaeglow_squeeze4": "Ours (Glow layer, squeeze 4)",
}


def build_table(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows, every cell a text as it will be printed.

    Args:
        spec: see `vaeglow.plan.table_spec`.
        published: path of resources/published.csv.
        results_root: the folder that holds the presets' folders.

    Returns:
        The columns of `COLUMNS`; published rows, then the spec's rows in its order.

    Raises:
        UserError: see `read_published` and `vaeglow.reporting.measured.read_measurements`.
    """
    rows = read_published(published, spec["published"]) if spec["published"] else []
    measurements = read_measurements(spec, results_root)
    seeds = len(spec["seeds"])
    groups = [measurements[start : start + seeds] for start in range(0, len(measurements), seeds)]
    rows += [measured_row(spec, group) for group in groups]
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).fillna("")


def read_published(path: str | Path, table: str) -> list[dict[str, str]]:
    """The published rows of one table, numbers as printed.

    Raises:
        UserError: no such file, another header, or no row of that table.
    """
    try:
        content = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as CSV ({' '.join(str(error).split())}): restore it from git") from None
    if tuple(content.columns) != PUBLISHED_COLUMNS:
        raise UserError(f"{path} has columns {', '.join(content.columns)}; it needs {', '.join(PUBLISHED_COLUMNS)}")
    chosen = content[content["table"] == table]
    if chosen.empty:
        legal = list(content["table"].unique())
        raise UserError(f"{path} has no rows of '{table}'{nearest(table, legal)}: it has {', '.join(legal)}")
    rows = chosen.drop(columns=["table", "note"]).to_dict("records")
    return [{**row, "source": "published"} for row in rows]


def measured_row(spec: Mapping[str, Any], group: Sequence[Measurement]) -> dict[str, str]:
    """One row: the mean over its seeds; standard deviations over seeds where there are several."""
    first = group[0]
    fids = pd.Series([one.metrics["fid"] for one in group])
    bits = pd.Series([one.likelihood["bits_per_dim"] for one in group])
    errors = pd.Series([one.likelihood.get("standard_error") for one in group], dtype=float)
    seconds = pd.Series([sum(one.training["train_seconds_by_phase"]) for one in group])
    several = len(group) > 1
    return {
        "model": label(first.row),
        "fid": f"{fids.mean():.2f}",
        "bits_per_dim": f"{bits.mean():.3f}",
        "bound": first.likelihood["bound"],
        "source": "measured",
        "dataset": spec["dataset"],
        "preset": spec["preset"],
        "epochs": "+".join(str(count) for count in first.training["epochs_by_phase"]),
        "train_seconds": f"{seconds.mean():.1f}",
        "seeds": " ".join(str(one.seed) for one in group),
        "temperature": str(float(first.row["temperature"])),
        "fid_sd": f"{fids.std():.2f}" if several else "",
        "bits_per_dim_sd": f"{bits.std():.3f}" if several else "",
        "bits_per_dim_standard_error": f"{errors.mean():.3f}" if errors.notna().all() else "",
        "fid_samples": str(first.metrics["fid_samples"]),
        "exploded_samples": str(sum(one.metrics["exploded_samples"] for one in group)),
        "fid_reference_images": str(first.metrics["fid_reference_images"]),
        "fid_features": str(first.metrics["fid_features"]),
        "fid_split": first.metrics["split"],
        "protocol": first.metrics["protocol"],
        "likelihood_images": str(first.likelihood["images"]),
        "dequantisation": first.likelihood["dequantisation"],
        "parameters": str(first.training["parameters"]),
        "device": distinct(one.training["provenance"]["device"] for one in group),
        "commit": distinct(commit_of(one.training["provenance"]) for one in group),
        "run": first.row["model"],
        "origin": f"results/{spec['preset']}/{spec['dataset']}/{first.row['model']}",
    }


def label(row: Mapping[str, Any]) -> str:
    """What a reader sees: the row's own label, or the model's with its temperature."""
    if "label" in row:
        return row["label"]
    name, temperature = LABELS.get(row["model"], row["model"]), float(row["temperature"])
    return f"{name}, decoder mean" if temperature == 0 else f"{name}, T={temperature}"


def distinct(values: Any) -> str:
    """The values that occur, each once, in order."""
    return "; ".join(dict.fromkeys(values))


def commit_of(provenance: Mapping[str, Any]) -> str:
    """The commit a run was trained from; `+dirty` when the source differed from it."""
    return provenance["commit"] + ("+dirty" if provenance.get("dirty") else "")
