"""The ledger as a page to read: what was found, the table, the rule, and a note on each claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from vaeglow.reporting.claims.verdict import NOT_RUN, RULE, VERDICTS, needs_words
from vaeglow.reporting.notes import demo_note

DEMO = (
    "At this scale most claims about training are undecided: they need three seeds (`seeds` in the config), and "
    "networks as trained here say little about the paper's."
)


def to_markdown(ledger: pd.DataFrame, spec: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        ledger: what `build_ledger` returned.
        spec: what it was made from.
    """
    counts = ledger["verdict"].value_counts()
    summary = ", ".join(f"{verdict} {counts[verdict]}" for verdict in VERDICTS if verdict in counts)
    seeds = " ".join(str(seed) for seed in spec["seeds"])
    demo = [f"{note} {DEMO}" for note in demo_note(spec)]
    parts = [
        "# The paper's claims, and what we measured",
        f"{len(ledger)} claims at preset {spec['preset']}, seeds {seeds}: {summary}.",
        *demo,
        summary_table(ledger, spec),
        "## The rule",
        RULE,
        "## Claim by claim",
        *(claim_note(row, spec["claims"][row["claim"]]) for _, row in ledger.iterrows()),
        f"Made by `snakemake --cores 1 results/{spec['preset']}/claims.csv`, with the --configfile it was run with, if "
        "any; the CSV names the files that are the evidence for each.",
    ]
    return "\n\n".join(parts) + "\n"


def summary_table(ledger: pd.DataFrame, spec: Mapping[str, Any]) -> str:
    """One line a claim."""
    shown = pd.DataFrame(
        {
            "Claim": ledger["claim"],
            "Claim as tested": [statement(row, spec) for _, row in ledger.iterrows()],
            "Where": ledger["where"],
            "Its numbers": ledger["published"],
            "Measured": [measured(row) for _, row in ledger.iterrows()],
            "Needs": [needs_words(spec["claims"][name]) for name in ledger["claim"]],
            "Dataset": ledger["dataset"],
            "Seeds": ledger["seeds"],
            "Verdict": [f"**{verdict}**" for verdict in ledger["verdict"]],
        }
    )
    shown = shown.replace("", "-").map(lambda text: text.replace("|", "\\|"))
    return shown.to_markdown(index=False, disable_numparse=True)


def statement(row: Mapping[str, str], spec: Mapping[str, Any]) -> str:
    """The claim in words; one that is ours says so."""
    return ("Ours, not the paper's: " if spec["claims"][row["claim"]].get("own") else "") + row["statement"]


def measured(row: Mapping[str, str]) -> str:
    """The effect with its interval and unit."""
    if row["verdict"] == NOT_RUN:
        return ""
    ends = "no interval" if (row["low"], row["high"]) == ("-inf", "inf") else f"[{row['low']}, {row['high']}]"
    return f"{row['effect'] or 'no value'} {ends} {row['unit']}"


def claim_note(row: Mapping[str, str], claim: Mapping[str, Any]) -> str:
    """What the effect is, what it needs and why, what it stands on."""
    needs = f"Needs {needs_words(claim)}: {claim['reason']}."
    if row["verdict"] == NOT_RUN:
        return f"**{row['claim']}** ({row['verdict']}). {needs} {row['note']}".rstrip()
    how = f"Interval: {row['interval']}. Stands on {row['scale']}."
    return f"**{row['claim']}** ({row['verdict']}). {row['note']} {needs} {how}"
