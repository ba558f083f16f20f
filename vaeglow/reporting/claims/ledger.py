"""The ledger: a row for each claim, measured and judged; and the same as a page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vaeglow.config.registry import kinds_of
from vaeglow.evaluation import bootstrap
from vaeglow.reporting import traced
from vaeglow.reporting.claims import ROLES, Evidence, Measured, needed, seeds_of, statistics
from vaeglow.reporting.claims.statistics import (
    FAILS,
    HOLDS,
    NEEDS,
    NOT_RUN,
    SEEDLESS,
    UNDECIDED,
    effects_of,
    holm,
    interval,
    judge,
    measures_of,
    p_value,
)
from vaeglow.reporting.columns import LEVEL, SEEDS
from vaeglow.reporting.tables import render
from vaeglow.reporting.tables.timing import DISAGREE
from vaeglow.results import Result, check_together, git_state, source_sha256

CONFIRMED, EXPLORATORY = "confirmed", "exploratory"
PRIMARY = "primary"  # `registered` of the claims that Holm's correction is over
COLUMNS = (
    *("claim", "statement", "published", "effect", "low", "high", "unit", "seeds", "preset", "needed", "dataset"),
    *("verdict", "status", "looks", "note", "where", "interval", "family", "registered", "p", "p_holm"),
    *("scale", "effects", "commit", "source_sha256", "device"),
    *("evidence_commit", "evidence_source_sha256"),
    *(traced.FILES, traced.HASHES, traced.SEAL),
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
    commit, dirty = git_state()  # of this step; the evidence has that of the steps that measured
    made = {"commit": commit + "+dirty" * bool(dirty), "source_sha256": source_sha256()}
    entries = []
    for name, claim in spec["claims"].items():
        asked = "< {margin:g}".format(**claim) if "margin" in claim else f"> {claim.get('threshold', 0):g}"
        claim = {"claim": name, "needed": asked, **claim}  # of the whole interval
        seeds = seeds_of(claim, spec["seeds"])[: 1 if claim["kind"] in SEEDLESS else None]
        evidence = [Evidence(results_root, claim, seed, spec["styles"]) for seed in seeds if claim["run"]]
        entries.append((claim, evidence, [one.read(need["what"], need) for need in needed(claim) for one in evidence]))
    check_together(result for *_, results in entries for result in results)
    rows = []
    for claim, evidence, results in entries:
        found = judged(evidence) | made_by(results) if evidence else missing(claim)
        rows.append({**claim, **made, **standing(claim, results), **found})
    confirm([row for row in rows if row["family"] == PRIMARY])
    return traced.sealed(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).fillna(""))


def standing(claim: Mapping[str, Any], results: Sequence[Result]) -> dict[str, str]:
    """Whether a claim was registered before its test images were seen, in which commit, and how often they were."""
    commits = [result.value("registered", "commit") for result in results if "registered" in result.content]
    about = {"family": claim.get("registered", ""), "registered": traced.distinct(commits)}
    return about | {"status": CONFIRMED if commits else EXPLORATORY, "looks": str(claim.get("looks", 1))}


def confirm(family: Sequence[dict[str, str]]) -> None:
    """Holm's correction over the registered primary claims; one without a p, for whatever reason, counts as p = 1."""
    for row, p in zip(family, holm([float(row.get("p") or 1) for row in family]), strict=True):
        row["p_holm"] = f"{p:.3g}"
        if row["verdict"] in (HOLDS, FAILS) and p >= 1 - LEVEL:
            row["verdict"] = UNDECIDED


def missing(claim: Mapping[str, Any]) -> dict[str, str]:
    """The verdict and note of a claim that is not measured."""
    if "missing" in claim:
        return {"verdict": UNDECIDED, "note": claim["missing"], "p": "1"}
    if claim.get("needs", claim["preset"]) == claim["preset"]:
        return {"verdict": NOT_RUN, "note": claim.get("unfit", "")}
    note = "`make study PRESET={needs}` measures it"
    note += "; the runs it reads take {takes}." if "takes" in claim else "."
    return {"verdict": NEEDS.format(**claim), "note": note.format(**claim)}


def made_by(results: Sequence[Result]) -> dict[str, str]:
    """The cells that name a row's evidence, and the machines and commits that measured it."""
    made = [result for result in results if "provenance" in result.content]  # all but a config
    about = {
        "device": traced.distinct(one.value("provenance", "device") for one in made),
        "evidence_commit": traced.distinct(one.commit for one in made),
        "evidence_source_sha256": traced.distinct(one.value("provenance", "source_sha256") for one in made),
    }
    return about | traced.evidence_cells(result.path for result in results)


def over_seeds(claim: Mapping[str, Any], found: Sequence[Measured]) -> bool:
    """Whether the claim's interval is one over all of its seeds, of samples that beat the floor."""
    enough = len(found) >= max(SEEDS, len(claim.get("seeds", [])))
    return enough and claim["kind"] not in SEEDLESS and np.mean([one.lead for one in found]) > 0


def judged(evidence: Sequence[Evidence]) -> dict[str, str]:
    """The measured part of a row, from the evidence under each seed."""
    claim, label = evidence[0].claim, evidence[0].label
    found = [kinds_of("claims")[claim["kind"]](one) for one in evidence]
    (effect, *ends, how), verdict, notes = judge(claim, found)
    notes.append(found[0].words.format(**claim | {role: label(claim[role]) for role in ROLES if role in claim}))
    for name, measure in zip(found[0].beside, measures_of(found)[1:], strict=True):
        notes.append("{} likewise: {:.4g} [{:.4g}, {:.4g}]".format(name, *interval(measure)[:3]))
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
        "effects": " ".join(f"{one:.4g}" for one in effects_of(found)),
        "p": f"{p_value(found, claim):.3g}" if over_seeds(claim, found) else "",
        "verdict": verdict,
        "note": ". ".join(note[0].upper() + note[1:] for note in notes) + ".",
    }


def to_markdown(ledger: pd.DataFrame, spec: Mapping[str, Any]) -> str:
    """What `build_ledger` made of a spec, as a page by `ledger.md.j2`: findings, the rule, and a note on each claim."""
    found = ledger["verdict"].value_counts()
    order = sorted(found.index, key=lambda verdict: [*statistics.VERDICTS, verdict].index(verdict))
    counts = [f"{verdict} {found[verdict]}" for verdict in order]
    rows = [{**spec["claims"][row["claim"]], **row} for row in ledger.to_dict("records")]
    by = ("device", "evidence_commit")
    made = {key: dict.fromkeys(traced.BETWEEN.join(ledger[key]).split(traced.BETWEEN)) for key in by}
    rules = {"rule": statistics, "bootstrap": bootstrap, "times": DISAGREE, "tests": survivors(rows)}
    return render("ledger.md", spec=spec, counts=counts, rows=rows, made=made, **rules)


def survivors(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many tests over seeds there are, and how many survive Holm's and Benjamini and Hochberg's corrections."""
    from scipy import stats

    values = [float(row["p"]) for row in rows if row["p"] and row["effect"]]
    if not values:
        return {"all": 0, "holm": 0, "benjamini_hochberg": 0}
    corrected = {"holm": holm(values), "benjamini_hochberg": stats.false_discovery_control(values)}
    return {"all": len(values), **{name: int((adjusted < 1 - LEVEL).sum()) for name, adjusted in corrected.items()}}
