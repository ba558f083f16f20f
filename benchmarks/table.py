"""The final table: what every peer reached, then the ratios with their targets. Plain text, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate

from benchmarks.case import Case, Measured, Row, spread

VERDICT = {True: "met", False: "missed", None: ""}


def peers_table(case: Case, measured: Mapping[str, Measured]) -> str:
    """Images/s (median, quartiles over the rounds) and peak memory of each peer."""
    lines = []
    for peer in case.peers:
        found = measured[peer.name]
        rate = spread(found.rates())
        lines.append(
            [
                peer.title,
                f"{rate['median']:.4g}",
                f"{rate['low_quartile']:.4g} to {rate['high_quartile']:.4g}",
                f"{found.memory / 2**20:.0f}",
                f"{(found.memory - found.memory_before) / 2**20:.0f}",
            ]
        )
    return tabulate(
        lines,
        ["peer", "images/s", "quartiles", "peak MiB", "above imports"],
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * 4),
    )


def ratios_table(rows: Iterable[tuple[str, Row]]) -> str:
    """All ratios: the median over the rounds, quartiles, target, verdict."""
    lines = [[case, row.what, *numbers(row), target(row), VERDICT[row.met()]] for case, row in rows]
    return tabulate(
        lines,
        ["case", "ratio", "median", "quartiles", "target", ""],
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", "left", "right", "right", "left", "left"),
    )


def numbers(row: Row) -> Sequence[str]:
    """Median and quartiles; a single number has none."""
    found = spread(row.values)
    if len(row.values) < 2:
        return f"{found['median']:.3g}", ""
    return f"{found['median']:.3g}", f"{found['low_quartile']:.3g} to {found['high_quartile']:.3g}"


def target(row: Row) -> str:
    """What is to be reached, or what stands beside it."""
    if row.target is None:
        return row.note
    return f"{'at least' if row.at_least else 'at most'} {row.target:g}"
