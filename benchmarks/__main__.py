"""Compare vaeglow with its peers and print the ratios: see docs/benchmark.md."""

import importlib.util
import os
import platform
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.case import Case, Measured, Row, Setting, measure, spread
from benchmarks.cases import features, glow, layer
from benchmarks.cases.options import CASES as EXTRA
from vaeglow.errors import UserError
from vaeglow.files import write_json
from vaeglow.steps import cli

CASES = (glow.TRAINING, layer.LAYER, features.CASE, glow.SAMPLING, glow.DATA, layer.TABLE4)  # as in the table
NAMED = {case.name: case for case in (*CASES, *EXTRA)}  # EXTRA on request (docs/performance.md)
ROUNDS = {False: 7, True: 2}  # turns of each peer, by `quick`
VERDICT = {True: "met", False: "missed", None: ""}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cases one after the other; the ratios come last."""
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", nargs="+", choices=NAMED, metavar="NAME", help=f"of {', '.join(NAMED)}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to check that all runs; ratios mean nothing")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads inside torch (all cores)")
    parser.add_argument("--output", type=Path, help="write every number to this JSON file")
    options = parser.parse_args(argv)
    if options.threads < 1:
        raise UserError(f"--threads {options.threads}: give 1 or more")
    chosen = [NAMED[name] for name in options.only] if options.only else CASES
    machine = (
        f"{options.device}, {options.threads} threads of {os.cpu_count()} CPUs ({platform.machine()}), "
        f"Python {platform.python_version()}, torch {version('torch')}"
    )
    rows: list[tuple[str, Row]] = []
    results: dict[str, Any] = {}
    for case in [case for case in chosen if runs(case, options.only)]:
        with tempfile.TemporaryDirectory() as folder:
            setting = Setting(options.device, options.threads, options.quick, Path(folder))
            measured = measure(case, setting, ROUNDS[options.quick])
        ratios = []
        for row in case.rows(measured):
            rows.append((case.name, row))
            ratios.append({**asdict(row), **spread(row.values), "met": row.met()})
        peers = {name: asdict(peer) for name, peer in measured.items()}
        results[case.name] = {"title": case.title, "peers": peers, "ratios": ratios}
        print(f"{case.title} ({case.name})\n\n{peers_table(case, measured)}\n", flush=True)
    print(f"{machine}\n\n{ratios_table(rows)}")
    if options.quick:
        print("\n--quick: tiny sizes, so these ratios mean nothing")
    if options.output:
        about = {"machine": machine, "quick": options.quick, "rounds": ROUNDS[options.quick]}
        write_json(options.output, {**about, "cases": results})


def runs(case: Case, asked: object) -> bool:
    """Whether this Python has the modules that a case needs; if not, say how to get them.

    Raises:
        UserError: it has not, and the case was asked for by name.
    """
    modules = {peer.module for peer in case.peers if peer.module}
    lacking = sorted(module for module in modules if not importlib.util.find_spec(module))
    if lacking:
        message = f"case {case.name} needs {', '.join(lacking)}: pip install -e '.[bench]'"
        if asked:
            raise UserError(message)
        print(f"left out: {message}", file=sys.stderr)
    return not lacking


def peers_table(case: Case, measured: Mapping[str, Measured]) -> str:
    """Images/s (median, quartiles over the rounds) and peak memory of each peer."""
    lines = []
    for peer in case.peers:
        figures = measured[peer.name]
        rates = [1 / seconds for seconds in figures.seconds]
        memory = [f"{size / 2**20:.0f}" for size in (figures.memory, figures.memory - figures.memory_before)]
        lines.append([peer.title, *numbers(rates, 4), *memory])
    heads = ["peer", "images/s", "quartiles", "peak MiB", "above imports"]
    return tabulate(lines, heads, tablefmt="github", disable_numparse=True, colalign=("left", *["right"] * 4))


def ratios_table(rows: Iterable[tuple[str, Row]]) -> str:
    """All ratios: the median over the rounds, quartiles, target, verdict."""
    lines = []
    for case, row in rows:
        target = row.note
        if row.target is not None:
            target = f"{'at least' if row.at_least else 'at most'} {row.target:g}"
        lines.append([case, row.what, *numbers(row.values, 3), target, VERDICT[row.met()]])
    heads = ["case", "ratio", "median", "quartiles", "target", ""]
    align = ("left", "left", "right", "right", "left", "left")
    return tabulate(lines, heads, tablefmt="github", disable_numparse=True, colalign=align)


def numbers(values: Sequence[float], digits: int) -> tuple[str, str]:
    """Median and quartiles; a single number has none."""
    median, low, high = (f"{value:.{digits}g}" for value in spread(values).values())
    return median, f"{low} to {high}" if len(values) > 1 else ""


if __name__ == "__main__":
    cli.run(main)
