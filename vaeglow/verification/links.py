"""What files of a results folder say of each other: every hash is compared with what it is of. No torch."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vaeglow.files import sha256_file, sha256_json
from vaeglow.verification.places import within
from vaeglow.verification.reading import Content
from vaeglow.verification.report import Mismatch, Report

Digest = Callable[[Mapping[str, Any]], str]
# Key of a file -> the kind of file that it is a hash of, and of what there: of its bytes where nothing is said.
TARGETS: dict[str, tuple[str, Digest | None]] = {
    "config_sha256": ("config", sha256_json),
    "data_sha256": ("model", lambda about: sha256_json(about["data"]["sha256"])),
    "weights_sha256": ("model", lambda about: about["weights_sha256"]),
    "snapshots_sha256": ("kept_weights", lambda about: about["weights_sha256"]),
    "history_sha256": ("history", None),
    "samples_sha256": ("samples", None),
    "reference_sha256": ("reference", None),
    "features_sha256": ("features", None),
    "per_image_sha256": ("likelihood_images", None),
    "layer_draws_sha256": ("layer_draws", None),
}
IN_PATHS = ("protocol", "temperature", "seed")  # what a file says that another's path may need
TODO = "put back the file that was there, or delete what names it and run snakemake again"


@dataclasses.dataclass(frozen=True)
class Link:
    """A hash that one file gives of another.

    Attributes:
        target: the other file; None: of no run that is known.
        what: the kind of that file.
        name: of the hash.
        expected: the hash.
        digest: of what, in the target's content; None: of its bytes.
    """

    target: Path | None
    what: str
    name: str
    expected: str
    digest: Digest | None


def check(root: Path, contents: Mapping[Path, Content], report: Report, data: Mapping[str, tuple[Path, str]]) -> None:
    """Compare every hash with what it is of.

    Args:
        root: the results folder.
        contents: of all files that match by themselves.
        report: where mismatches go.
        data: dataset -> its dataset.json and `data_sha256` now, where prepared data were given.
    """
    bytes_sha256 = functools.cache(sha256_file)
    for path, content in contents.items():
        try:
            links = list(links_of(root, content))
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # by hand, in a file without a hash
            report.mismatch(path, Mismatch("a part is missing", "what vaeglow writes", repr(error)))
            continue
        for link in links:
            target, dataset = link.target, content.place.names.get("dataset")
            if link.name == "data_sha256" and dataset in data:
                target, found = data[dataset]
            elif target is None or target in report.bad:
                continue
            elif not target.is_file():
                report.absent(target, link.what, path)
                continue
            elif link.digest is None:
                found = bytes_sha256(target)
            elif target in contents:
                found = link.digest(contents[target].about)
            else:
                continue
            if found != link.expected:
                what = f"its {link.name if link.digest else 'content'} is not what it was"
                report.mismatch(target, Mismatch(what, link.expected, found, TODO), [path])


def links_of(root: Path, content: Content) -> Iterator[Link]:
    """All that one file says of others."""
    place, about = content.place, content.about
    if place.what == "config":  # others say what it should be
        return
    if place.what in ("model", "kept_weights"):
        yield from base_links(root, content)
        about = {"config_sha256": sha256_json(about["config"]), "data_sha256": sha256_json(about["data"]["sha256"])}
    names = {key: about[key] for key in IN_PATHS if key in about}
    for model, one in about["models"].items() if place.what == "timing" else ():
        target = place.beside(root, "config", model=model, **names)
        yield Link(target, "config", "config_sha256", one["config_sha256"], sha256_json)
    for name, (what, digest) in TARGETS.items():
        if isinstance(about.get(name), str):
            try:
                target = place.beside(root, what, **names)
            except KeyError:  # a reference is of a dataset and of no run
                target = None
            yield Link(target, what, name, about[name], digest)
    for written, expected in content.evidence.items():
        source = within(root, written)
        target, what = (source.path, source.what) if source else (root / written, "no kind of result")
        yield Link(target, what, "content", expected, None)


def base_links(root: Path, content: Content) -> Iterator[Link]:
    """The model that a run stands on: its weights, and the config they were trained under."""
    base, weights = content.about["config"].get("base"), content.about.get("base_sha256")
    if base is None or weights is None:
        return
    names = {key: base[key] for key in ("preset", "dataset", "model", "seed")}
    for what, name, expected in (
        ("model", "weights_sha256", weights),
        ("config", "config_sha256", sha256_json(base)),
    ):
        yield Link(content.place.beside(root, what, **names), what, name, expected, TARGETS[name][1])
