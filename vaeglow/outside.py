"""Which files outside the project's folder a config makes the workflow read. Pure: no torch, no snakemake.

All that is written goes to results/, resources/ and logs/ below the folder Snakemake runs in: names in the config hold
no separators (the schema). Reading elsewhere is legal, since data often lie elsewhere, but it is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vaeglow.data.kinds import KINDS

# Settings of a dataset that name the user's own files.
PLACES = {key for kind in KINDS.values() for key, schema in kind.SCHEMA.items() if schema.get("format") == "path"}
FILE_ADDRESS = "file://"


def outside(config: Mapping[str, Any], home: Path) -> list[str]:
    """A line for each place outside `home` that is read; links are followed before that is decided.

    Args:
        config: with `datasets`, and perhaps `evaluation.inception`.
        home: the folder Snakemake runs in.
    """
    lines = []
    for key, value in places(config):
        path = Path(value).expanduser()
        real = (home / path).resolve()
        if not real.is_relative_to(home.resolve()):
            lines.append(f"note: {key} is outside of this folder: {str(real)!r} is read")
    return lines


def places(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key and value of every setting that names a file or folder to read."""
    for name, dataset in config.get("datasets", {}).items():
        yield from ((f"datasets.{name}.{key}", dataset[key]) for key in dataset if key in PLACES and dataset[key])
        if not dataset.get("local"):  # else nothing but that is looked at
            yield from ((f"datasets.{name}.sources", path) for path in source_paths(dataset) if Path(path).exists())
    inception = config.get("evaluation", {}).get("inception", {})
    if inception.get("local"):
        yield "evaluation.inception.local", inception["local"]
    address = (inception.get("url") or {}).get("address", "")
    if address.startswith(FILE_ADDRESS):
        yield "evaluation.inception.url.address", address.removeprefix(FILE_ADDRESS)


def source_paths(dataset: Mapping[str, Any]) -> list[str]:
    """The files and folders among a dataset's `sources`; the others are addresses in the network."""
    sources = (source.removeprefix(FILE_ADDRESS) for source in dataset.get("sources") or ())
    return [str(Path(source).expanduser()) for source in sources if "://" not in source]
