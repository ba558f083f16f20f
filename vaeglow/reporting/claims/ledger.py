"""The ledger: a row for each claim, measured and judged; and the same as a page."""

from collections.abc import Sequence
from math import isnan

import numpy as np
import pandas as pd

from vaeglow.config.registry import kinds_of
from vaeglow.evaluation import bootstrap
from vaeglow.evaluation.timing import DISAGREE
from vaeglow.reporting.claims import ROLES, SEEDLESS, Claim, Evidence, needed, seeds_of, statistics
from vaeglow.reporting.claims.statistics import (
    FAILS,
    HOLDS,
    NEEDS,
    NOT_RUN,
    PARTIAL,
    UNDECIDED,
    VERDICTS,
    Seeds,
    effects_of,
    holm,
    interval,
    judge,
    measures_of,
    p_value,
)
from vaeglow.reporting.columns import LEVEL, SEEDS
from vaeglow.reporting.frame import Spec
from vaeglow.reporting.templates import render
from vaeglow.reporting.traced import BETWEEN, FILES, HASHES, SEAL, Texts, distinct, evidence_cells, sealed
from vaeglow.results import Result, check_together, git_state, source_sha256

MEASURED = """
    claim statement published effect low high unit seeds preset needed dataset verdict status looks note beside
    where interval family registered p p_holm scale effects commit source_sha256 device
    evidence_commit evidence_source_sha256
"""
COLUMNS = [*MEASURED.split(), FILES, HASHES, SEAL]


def build_ledger(spec: Spec, results_root: str) -> pd.DataFrame:
    """One row a claim, every cell a text.

    Args:
        spec: `{"preset", "seeds", "claims": {name: entry}, "styles"}`; see `vaeglow.config.plan.spec`. An entry's `run`
            says whether it is measured, `unfit` why a model cannot be.
        results_root: the folder that holds the presets' folders.

    Raises:
        UserError: evidence that is missing or does not belong together.
    """
    commit, dirty = git_state()  # of this step; the evidence has that of the steps that measured
    made = {"commit": f"{commit}+dirty" if dirty else commit, "source_sha256": source_sha256()}
    entries = []
    for name, entry in spec["claims"].items():
        # Where the whole interval must lie.
        asked = f"< {entry['margin']:g}" if "margin" in entry else f"> {entry.get('threshold', 0):g}"
        claim = {"claim": name, "needed": asked, **entry}
        seeds = seeds_of(claim, spec["seeds"]) if claim["run"] else []
        if claim["kind"] in SEEDLESS:
            seeds = seeds[:1]
        evidence = [Evidence({**claim, "seeds": [seed], "styles": spec["styles"]}, results_root) for seed in seeds]
        results = [seed.read(need["what"], need) for need in needed(claim) for seed in evidence]
        entries.append((claim, evidence, results))
    check_together(result for _, _, results in entries for result in results)
    rows = []
    for claim, evidence, results in entries:
        rows.append(
            {
                **claim,
                **made,
                **made_by(claim, results, len(evidence)),
                **(judged(claim, evidence) if evidence else missing(claim)),
            }
        )
    # Holm's correction over the registered primary claims; one without a p, for whatever reason, counts as p = 1.
    # While one waits for a seed, a verdict that this p = 1 would take away waits, too.
    family = [row for row in rows if row["family"] == "primary"]
    waits = any(row["verdict"] not in VERDICTS for row in family)
    for row, p in zip(family, holm([float(row.get("p") or 1) for row in family]), strict=True):
        row["p_holm"] = f"{p:.3g}"
        if row["verdict"] in (HOLDS, FAILS) and p >= 1 - LEVEL:
            count = len(row["seeds"].split())
            row["verdict"] = PARTIAL.format(count, count) if waits else UNDECIDED
    return sealed(rows, COLUMNS)


def made_by(claim: Claim, results: Sequence[Result], measured: int) -> Texts:
    """Whether a claim was registered before its test images were seen, how often they were, and its evidence.

    Args:
        claim: an entry of the spec.
        results: all that it reads.
        measured: under how many seeds.
    """
    commits = [result.value("registered", "commit") for result in results if "registered" in result.content]
    made = [result for result in results if "provenance" in result.content]  # all but a config
    status = "exploratory"
    if "registered" in claim:
        status = {0: "not run", len(claim["seeds"]): "confirmed"}.get(measured, "not finished")
    return {
        "family": claim.get("registered", ""),
        "registered": distinct(commits),
        "status": status,
        "looks": str(claim.get("looks", 1)),
        "device": distinct(result.value("provenance", "device") for result in made),
        "evidence_commit": distinct(result.commit for result in made),
        "evidence_source_sha256": distinct(result.value("provenance", "source_sha256") for result in made),
        **evidence_cells(results),
    }


def missing(claim: Claim) -> Texts:
    """The verdict and note of a claim that is not measured."""
    if "missing" in claim:
        return {"verdict": UNDECIDED, "note": claim["missing"], "p": "1", "seeds": ""}
    if claim["run"] and "registered" in claim:
        return {"verdict": PARTIAL.format(0, len(claim["seeds"])), "seeds": ""}
    preset = claim.get("needs", claim["preset"])
    if preset == claim["preset"]:
        return {"verdict": NOT_RUN, "note": claim.get("unfit", "")}
    time = f"; the runs it reads take {claim['takes']}." if "takes" in claim else "."
    return {"verdict": NEEDS.format(needs=preset), "note": f"`make study PRESET={preset}` measures it{time}"}


def judged(claim: Claim, evidence: Sequence[Evidence]) -> Texts:
    """The measured part of a row, from the evidence under each seed."""
    seeds = [kinds_of("claims")[claim["kind"]](of_seed) for of_seed in evidence]
    measured, verdict, notes = judge(claim, seeds)
    notes.append(seeds[0].words.format(**claim | {role: evidence[0].name(role) for role in ROLES if role in claim}))
    beside = []
    for name, measure in zip(seeds[0].beside, measures_of(seeds)[1:], strict=True):
        other = interval(measure)
        bounds = f" [{other.low:.4g}, {other.high:.4g}]" if verdict in VERDICTS else ""
        beside.append(f"{other.effect:.4g}{bounds} {name}")
    notes += filter(None, [readings_of(seeds), *dict.fromkeys(note for seed in seeds for note in seed.notes)])
    tested = len(seeds) >= max(SEEDS, len(claim.get("seeds", []))) and np.mean([seed.lead for seed in seeds]) > 0
    return {
        "effect": "" if isnan(measured.effect) else f"{measured.effect:.4g}",
        "low": f"{measured.low:.4g}",  # inf: no bound on that side
        "high": f"{measured.high:.4g}",
        "unit": seeds[0].unit,
        "beside": ", ".join(beside),
        "interval": measured.how,
        "scale": seeds[0].scale,
        "seeds": "" if claim["kind"] in SEEDLESS else " ".join(str(*of_seed["seeds"]) for of_seed in evidence),
        "effects": " ".join(f"{effect:.4g}" for effect in effects_of(seeds)),
        "p": f"{p_value(seeds, claim):.3g}" if tested else "",
        "verdict": verdict,
        "note": ". ".join(note[0].upper() + note[1:] for note in notes) + ".",
    }


def readings_of(seeds: Seeds) -> str:
    """The numbers that the effects come from, means over the seeds, subject by subject."""
    subjects = {}
    for (subject, what), mean in pd.DataFrame([seed.readings for seed in seeds]).mean().items():
        subjects.setdefault(subject, []).append(f"{what} {mean:.4g}")
    return "; ".join(f"{subject}: {', '.join(numbers)}" for subject, numbers in subjects.items())


def to_markdown(ledger: pd.DataFrame, spec: Spec) -> str:
    """What `build_ledger` made of a spec, as a page by `ledger.md.j2`: findings, the rule, and a note on each claim."""
    from scipy import stats

    counts = ledger["verdict"].value_counts()
    rows = [{**spec["claims"][row["claim"]], **row} for row in ledger.to_dict("records")]
    # Tests over seeds, and how many survive Holm's and Benjamini and Hochberg's corrections.
    values = [float(row["p"]) for row in rows if row["p"] and row["effect"]]
    corrected = {"holm": holm(values), "benjamini_hochberg": stats.false_discovery_control(values)}
    return render(
        "ledger.md",
        spec=spec,
        counts=[
            f"{verdict} {counts[verdict]}"
            for verdict in sorted(counts.index, key=lambda verdict: [*statistics.VERDICTS, verdict].index(verdict))
        ],
        rows=rows,
        made={key: distinct(BETWEEN.join(ledger[key]).split(BETWEEN)) for key in ("device", "evidence_commit")},
        rule=statistics,
        bootstrap=bootstrap,
        times=DISAGREE,
        tests={"all": len(values), **{name: (p < 1 - LEVEL).sum() for name, p in corrected.items()}},
    )
