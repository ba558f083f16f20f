"""Measure vaeglow beside its peers and print the ratios: see docs/benchmark.md."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Measured, Row, Setting
from benchmarks.cases import CASES, EXTRA, find
from benchmarks.interleave import measure
from benchmarks.table import peers_table, ratios_table
from vaeglow.errors import UserError
from vaeglow.files import write_json
from vaeglow.steps import cli

ROUNDS = {False: 7, True: 2}  # turns of each peer, by `quick`


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help=f"of {', '.join(case.name for case in (*CASES, *EXTRA))}"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all? Its ratios mean nothing")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads inside torch (all cores)")
    parser.add_argument("--output", type=Path, help="write every number to this JSON file")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cases one after the other; the ratios come last."""
    options = parse(argv)
    if options.threads < 1:
        raise UserError(f"--threads {options.threads}: give 1 or more")
    chosen = [find(name) for name in options.only] if options.only else list(CASES)
    runnable = [case for case in chosen if not (lacking := missing(case)) or refuse(case, lacking, options.only)]
    rows: list[tuple[str, Row]] = []
    results: dict[str, Any] = {}
    for case in runnable:
        with tempfile.TemporaryDirectory() as folder:
            setting = Setting(options.device, options.threads, options.quick, Path(folder))
            measured = measure(case, setting, ROUNDS[options.quick])
        rows += [(case.name, row) for row in case.rows(measured)]
        results[case.name] = result(case, measured)
        print(f"{case.title} ({case.name})\n\n{peers_table(case, measured)}\n", flush=True)
    print(f"{machine(options)}\n\n{ratios_table(rows)}")
    if options.quick:
        print("\n--quick: tiny sizes, so these ratios mean nothing")
    if options.output:
        about = {"machine": machine(options), "quick": options.quick, "rounds": ROUNDS[options.quick]}
        write_json(options.output, {**about, "cases": results})


def missing(case: Case) -> list[str]:
    """The modules that a case needs and this Python lacks."""
    wanted = {peer.module for peer in case.peers if peer.module}
    return sorted(module for module in wanted if importlib.util.find_spec(module) is None)


def refuse(case: Case, lacking: Sequence[str], asked: object) -> bool:
    """Leave a case out, and say how it can be run.

    Raises:
        UserError: it was asked for by name.
    """
    message = f"case {case.name} needs {', '.join(lacking)}: pip install -e '.[bench]'"
    if asked:
        raise UserError(message)
    print(f"left out: {message}", file=sys.stderr)
    return False


def machine(options: Namespace) -> str:
    """What the numbers were measured on."""
    from importlib.metadata import version

    return (
        f"{options.device}, {options.threads} threads of {os.cpu_count()} CPUs ({platform.machine()}), "
        f"Python {platform.python_version()}, torch {version('torch')}"
    )


def result(case: Case, measured: dict[str, Measured]) -> dict[str, Any]:
    """All that was measured, for the JSON file."""
    return {
        "title": case.title,
        "peers": {name: asdict(found) for name, found in measured.items()},
        "ratios": [row.summary() for row in case.rows(measured)],
    }


if __name__ == "__main__":
    cli.run(main)
