"""The ledger: a row for each claim, measured and judged; and the same as a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaeglow.reporting import traced
from vaeglow.reporting.claims import KINDS, ROLES, Evidence, needed
from vaeglow.reporting.claims.statistics import NOT_RUN, RULE, SEEDLESS, VERDICTS, judge
from vaeglow.reporting.forms import fill

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("claim", "statement", "where", "published", "effect", "low", "high", "unit", "interval", "seeds", "preset"),
    *("scale", "dataset", "verdict", "note", "commit", "source_sha256", traced.FILES, traced.HASHES, traced.SEAL),
)
HEADER = ["Claim", "Claim as tested", "Where", "Its numbers", "Measured", "Needs", "Dataset", "Seeds", "Verdict"]
DEMO = (
    "At this scale most claims about training are undecided: they need three seeds (`seeds` in the config), and "
    "networks as trained here say little about the paper's."
)


def build_ledger(spec: Mapping[str, Any], results_root: str) -> pd.DataFrame:
    """One row a claim, every cell a text.

    Args:
        spec: `{"preset", "seeds", "claims": {name: entry}, "styles"}`; see `vaeglow.config.plan.spec`. An entry's `run`
            says whether it is measured, `unfit` why a model cannot be.
        results_root: the folder that holds the presets' folders.

    Raises:
        UserError: evidence that is missing or does not belong together.
    """
    import pandas as pd

    from vaeglow.results import check_together, git_state, source_sha256

    commit, dirty = git_state()  # of this step; the evidence has that of the steps that measured
    made = {"commit": commit + ("+dirty" if dirty else ""), "source_sha256": source_sha256()}
    entries, cache = [], {}
    for name, claim in spec["claims"].items():
        claim = {"claim": name, "preset": spec["preset"], **claim}
        seeds = spec["seeds"][: 1 if claim["kind"] in SEEDLESS else None] if claim["run"] else []
        evidence = [Evidence(results_root, claim, seed, spec["styles"], cache) for seed in seeds]
        entries.append((claim, evidence, [one.read(need["what"], need) for need in needed(claim) for one in evidence]))
    check_together(result for *_, results in entries for result in results)
    rows = [
        {**claim, **made, "verdict": NOT_RUN, "note": claim.get("unfit", "")}
        | (judged(evidence) | traced.evidence_cells([result.path for result in results]) if evidence else {})
        for claim, evidence, results in entries
    ]
    return traced.sealed(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).fillna(""))


def judged(evidence: Sequence[Evidence]) -> dict[str, str]:
    """The measured part of a row, from the evidence under each seed."""
    claim, label = evidence[0].claim, evidence[0].label
    found = [KINDS[claim["kind"]](one) for one in evidence]
    (effect, *ends, how), verdict, notes = judge(claim, found)
    notes.append(found[0].words.format(**claim | {role: label(claim[role]) for role in ROLES if role in claim}))
    numbers: dict[str, list[str]] = {}  # of each subject; means over the seeds
    for subject, what in dict.fromkeys(key for one in found for key in one.readings):
        mean = np.mean([one.readings[subject, what] for one in found if (subject, what) in one.readings])
        numbers.setdefault(subject, []).append(f"{what} {mean:.4g}")
    notes += ["; ".join(f"{subject}: {', '.join(read)}" for subject, read in numbers.items())] if numbers else []
    notes += dict.fromkeys(note for one in found for note in one.notes)
    low, high = (f"{end:.4g}" for end in ends)  # inf: no bound on that side
    return {
        "effect": "" if math.isnan(effect) else f"{effect:.4g}",
        **{"low": low, "high": high, "unit": found[0].unit, "interval": how, "scale": found[0].scale},
        "seeds": "" if claim["kind"] in SEEDLESS else " ".join(str(one.seed) for one in evidence),
        "verdict": verdict,
        "note": ". ".join(note[0].upper() + note[1:] for note in notes) + ".",
    }


def to_markdown(ledger: pd.DataFrame, spec: Mapping[str, Any]) -> str:
    """The ledger as a page: what was found, the rule, and a note on each claim.

    Args:
        ledger: what `build_ledger` returned.
        spec: what it was made from.
    """
    import pandas as pd

    counts, lines, notes = ledger["verdict"].value_counts(), [], []
    for row in ledger.to_dict("records"):
        name, verdict, unit, claim = row["claim"], row["verdict"], row["unit"], spec["claims"][row["claim"]]
        needs = f"< {claim['margin']:g}" if "margin" in claim else f"> {claim.get('threshold', 0):g}"
        tested = ("Ours, not the paper's: " if claim.get("own") else "") + row["statement"]
        ends = f"[{row['low']}, {row['high']}]".replace("[-inf, inf]", "no interval")
        measured = f"{row['effect'] or 'no value'} {ends} {unit}" if unit else ""
        cells = [name, tested, row["where"], row["published"], measured, needs, row["dataset"], row["seeds"]]
        lines.append([*(cell.replace("|", "\\|") or "-" for cell in cells), f"**{verdict}**"])
        reason, how = f"Needs {needs}: {claim['reason']}.", f"Interval: {row['interval']}. Based on {row['scale']}."
        parts = [row["note"], reason, how] if unit else [reason, row["note"]]
        notes.append(f"**{name}** ({verdict}). {' '.join(parts)}".rstrip())
    summary = ", ".join(f"{verdict} {counts[verdict]}" for verdict in VERDICTS if verdict in counts)
    parts = [
        "# The paper's claims, and what we measured",
        f"{len(ledger)} claims at preset {spec['preset']}, seeds {' '.join(map(str, spec['seeds']))}: {summary}.",
        *(f"{note} {DEMO}" for note in fill("{DEMO}", {"demo": spec["preset"] == "demo"})),
        pd.DataFrame(lines, columns=HEADER).to_markdown(index=False, disable_numparse=True),
        f"## The rule\n\n{RULE}\n\n## Claim by claim",
        *notes,
        f"Made by `snakemake --cores 1 results/{spec['preset']}/claims.csv`, with the --configfile it was run with, if "
        "any; the CSV names the files that are the evidence for each.",
    ]
    return "\n\n".join(parts) + "\n"
