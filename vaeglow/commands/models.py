"""Commands `models` and `card`: the trained models that a name loads, and a page about one (docs/models.md)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from vaeglow.config.registry import kinds_of
from vaeglow.errors import UserError
from vaeglow.files import Config, Facts, sha256_file, write_text
from vaeglow.paths import RUN
from vaeglow.released import locate_weights, read_list

HEADINGS = ("Name", "Data", "Epochs", "FID", "Bits/dim", "MB", "Licence")
NOTES = """
FID: the lowest over temperatures, and its protocol: split, samples and real images, features. Compare equal protocols.
Bits/dim: ≤ is an upper bound. val: validation images, by which settings were chosen."""
TASK = "unconditional-image-generation"  # as model hubs name it
UNLISTED = {
    "entry": {"quality": [], "likelihood": None},
    "data": {"words": "not in the list of models", "licence": "not stated"},
    "licence": "unknown",
}


def models() -> None:
    """List the trained models that a name loads."""
    from tabulate import tabulate

    listed = read_list()
    rows = [row_of(name, entry, listed) for name, entry in listed["models"].items()]
    print(tabulate(rows, HEADINGS, "simple", disable_numparse=True))
    print(NOTES)


def row_of(name: str, entry: Config, listed: Config) -> list[str]:
    """A model's cells under `HEADINGS`."""
    dataset = name.partition("/")[0]
    measured = sorted(entry["quality"], key=lambda row: row["fid"])
    fids = [f"{row['fid']:.1f} (T={row['temperature']:g}, {row['protocol']})" for row in measured]
    epochs = "+".join(map(str, entry["epochs"]))
    size = f"{entry['bytes'] / 1e6:.1f}"
    return [name, listed["data"][dataset]["words"], epochs, *(fids or "-")[:1], bits(entry), size, listed["licence"]]


def bits(entry: Config) -> str:
    """Bits/dim with the bound and the images, or a dash."""
    measured = entry["likelihood"]
    if not measured:
        return "-"
    bound = "≤ " * (measured["bound"] == "<=")
    return f"{bound}{measured['bits_per_dim']:.3f} ({measured['images']:,} {measured['split']})"


def card(model: Path, *, output: Path | None = None) -> None:
    """Write a page about a trained model, with the head that model hubs read.

    Args:
        model: a name that `vaeglow models` lists, or a model.safetensors
        output: a Markdown file, which is replaced; without it the page is printed
    """
    from vaeglow.api import Model
    from vaeglow.reporting.templates import render

    if output and output.suffix != ".md":
        raise UserError(f"--output {output}: name a Markdown file, such as README.md")
    path = locate_weights(model)
    loaded = Model(path, "cpu")
    config = loaded.config
    listed = read_list()
    digest = sha256_file(path)
    names = [name for name, entry in listed["models"].items() if entry["sha256"] == digest]
    words = {"title": RUN.format(**config), "place": path, **UNLISTED}
    if names:
        words = {"title": names[0], "place": names[0], "licence": listed["licence"]}
        words |= {"entry": listed["models"][names[0]], "data": listed["data"][names[0].partition("/")[0]]}
    head = head_of(config["dataset"], **words)
    text = render(
        "card.md",
        **words,
        head=yaml.safe_dump(head, sort_keys=False, allow_unicode=True),
        kind=kinds_of("models")[config["kind"]].__doc__.partition("\n")[0],
        model=loaded,
        images=config["data"]["train_subset"] or loaded.about["data"]["counts"]["train"],
        bits=bits(words["entry"]),
    )
    if output:
        write_text(output, text)
    else:
        print(text, end="")


def head_of(dataset: str, title: str, entry: Config, data: Config, licence: str, **_: Any) -> Facts:
    """What model hubs read of a card: a result for each measurement, with what it was measured on."""
    results = []
    for row in entry["quality"]:
        how = ("temperature", "fid_samples", "fid_reference_images", "fid_features")
        results.append(result_of(row, ("fid", "kid"), how, dataset, data))
    if entry["likelihood"]:
        results.append(result_of(entry["likelihood"], ("bits_per_dim",), ("bound", "images"), dataset, data))
    return {
        "license": licence.lower(),
        "library_name": "vaeglow",
        "pipeline_tag": TASK,
        "tags": ["vae", "normalizing-flow", "arxiv:2004.05617"],
        "datasets": [dataset],
        "metrics": sorted({metric["type"] for result in results for metric in result["metrics"]}),
        "model-index": [{"name": title, "results": results}],
    }


def result_of(row: Config, names: Sequence[str], how: Sequence[str], dataset: str, data: Config) -> Facts:
    """One result in the words of model hubs: the values of these names, and how they were measured."""
    args = {key: row[key] for key in how}
    return {
        "task": {"type": TASK},
        "dataset": {"type": dataset, "name": data["words"], "split": row["split"]},
        "metrics": [{"type": name, "value": row[name], "args": dict(args)} for name in names],
    }
