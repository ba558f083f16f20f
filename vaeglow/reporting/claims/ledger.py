"""The ledger's rows: read, measure and judge every claim."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vaeglow.errors import UserError
from vaeglow.provenance import git_state, source_sha256
from vaeglow.reporting import traced
from vaeglow.reporting.claims.evidence import Evidence
from vaeglow.reporting.claims.needs import needed
from vaeglow.reporting.claims.registry import SEEDLESS, measure_of
from vaeglow.reporting.claims.statistics import Measured
from vaeglow.reporting.claims.verdict import NOT_RUN, judge
from vaeglow.reporting.measured import commit_of

COLUMNS = (
    *("claim", "statement", "where", "published", "effect", "low", "high", "unit", "interval", "seeds", "preset"),
    *("scale", "dataset", "verdict", "note", "commit", "source_sha256", traced.FILES, traced.HASHES, traced.SEAL),
)


def build_ledger(spec: Mapping[str, Any], results_root: str) -> pd.DataFrame:
    """One row a claim, every cell a text.

    Args:
        spec: `{"preset", "seeds", "claims": {name: entry}}`; see `vaeglow.config.plan.spec`. An entry's `run` (where
            it has none, its `enabled`) says whether it is measured, `unfit` why a model cannot be.
        results_root: the folder that holds the presets' folders.

    Raises:
        UserError: no claims, no seeds, an unknown kind, or evidence that is missing or does not belong together.
    """
    if not spec["claims"] or not spec["seeds"]:
        raise UserError("no claims or no seeds to judge: list some in the config (claims, seeds)")
    evidence = Evidence(results_root, spec["preset"])
    commit, dirty = git_state()  # of what judges: the evidence says for itself what measured
    made = {"commit": commit_of({"commit": commit, "dirty": dirty}), "source_sha256": source_sha256()}
    rows = []
    for name, claim in spec["claims"].items():
        row = {"claim": name, **{key: claim[key] for key in ("statement", "where", "published")}}
        row |= {"preset": spec["preset"], "dataset": claim["dataset"], **made}
        if claim.get("run", claim["enabled"]):
            row |= judged(evidence, name, claim, spec["seeds"])
        else:
            row |= {"verdict": NOT_RUN, "note": claim.get("unfit", "")}
        rows.append(row)
    return traced.sealed(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).fillna(""))


def judged(evidence: Evidence, name: str, claim: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, str]:
    """The measured part of a row.

    Raises:
        UserError: see `build_ledger`.
    """
    seeded = claim["kind"] not in SEEDLESS
    seeds = seeds if seeded else seeds[:1]
    try:
        measure = measure_of(claim["kind"])
        found = [measure(evidence, claim, seed) for seed in seeds]
    except UserError as error:
        raise UserError(f"claim {name}: {error}") from None
    judgement = judge(claim, found, seeded)
    first, measured = found[0], judgement.interval
    paths = [evidence.path(claim, seed, need) for need in needed(claim) for seed in seeds]
    notes = [*judgement.notes, first.words, *readings(found)]
    notes += dict.fromkeys(note for one in found for note in one.notes)
    return {
        "effect": number(measured.effect),
        "low": number(measured.low),
        "high": number(measured.high),
        "unit": first.unit,
        "interval": measured.how,
        "seeds": " ".join(str(seed) for seed in seeds) if seeded else "",
        "scale": first.scale,
        "verdict": judgement.verdict,
        "note": ". ".join(note[0].upper() + note[1:] for note in notes) + ".",
        **traced.evidence_cells(paths),
    }


def readings(found: Sequence[Measured]) -> list[str]:
    """The numbers behind an effect, means over the seeds, as one note."""
    subjects: dict[str, list[str]] = {}
    for subject, name in dict.fromkeys(key for one in found for key in one.readings):
        mean = np.mean([one.readings[subject, name] for one in found if (subject, name) in one.readings])
        subjects.setdefault(subject, []).append(f"{name} {mean:.4g}")
    return ["; ".join(f"{subject}: {', '.join(numbers)}" for subject, numbers in subjects.items())] if subjects else []


def number(value: float) -> str:
    """Four digits; an end that nothing bounds is `inf`, an effect that has no value is left empty."""
    return "" if math.isnan(value) else f"{value:.4g}"
