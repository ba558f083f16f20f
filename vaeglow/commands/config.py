"""Command `config`: each value of a run's config, and what sets it."""

from functools import partial
from pathlib import Path
from typing import Any

import yaml

from vaeglow.config import config_file, lookup, merge, read_config, read_layer, resolve, with_neutral
from vaeglow.config.check import check_config
from vaeglow.config.origins import Placed, entry_of, flat, read_placed
from vaeglow.paths import IDENTITY, shipped
from vaeglow.results import relative

WIDTH = 120  # of a line at most; a longer one is broken
COLUMN = 44  # where the places begin


def config(model: str, *, preset: str = "", dataset: str = "main", seed: int = 0, configfile: list[Path] = ()) -> None:
    """Print each value of a run's config, with the file, line and entry that set it.

    Args:
        model: its name in the config
        preset: its name in the config; the config's own if left out
        dataset: its name in the config, or a role (main)
        seed: of the run (0)
        configfile: overlays, as Snakemake takes them: each over those before
    """
    find = partial(config_file, shipped, False)
    plain = merge(read_config(find), *map(read_layer, configfile))
    views = check_config(plain, shipped("workflow/schemas/config.schema.yaml"), shipped("resources/published.csv"))
    view = lookup(views, preset or plain["preset"], "preset")
    run = (view["preset"], view["roles"].get(dataset, dataset), model, seed)
    resolved = resolve(plain, *run)
    with_places = merge(read_config(find, read_placed), *(read_layer(path, read_placed) for path in configfile))
    places = flat(resolve(with_places, *run))
    for key, value in (flat(resolved) | flat(with_neutral(resolved))).items():
        place = origin(key, places[key]) if key in places else "neutral: as if there were no such key"
        text = f"{key}: {written(value)}"
        line = f"{text:{COLUMN}} {place}"
        print(line if len(line) <= WIDTH else f"{text}\n  {place}")


def origin(key: str, value: Any) -> str:
    """What sets a value of a resolved config."""
    if isinstance(value, Placed):
        entry = entry_of(value, key)
        return f"{relative(value.file)}:{value.line}{f' ({entry})' if entry else ''}"
    return "of this command" if key.rpartition(".")[2] in IDENTITY else "no file: the default"


def written(value: Any) -> str:
    """A value in one line of YAML."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
