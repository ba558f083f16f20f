"""The ledger: a row for each claim, measured and judged; and the same as a page."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from vaeglow.config.registry import kinds_of
from vaeglow.evaluation import bootstrap
from vaeglow.evaluation.timing import DISAGREE
from vaeglow.reporting import traced
from vaeglow.reporting.claims import ROLES, Claim, Evidence, needed, seeds_of, statistics
from vaeglow.reporting.claims.statistics import (
    FAILS,
    HOLDS,
    NEEDS,
    NOT_RUN,
    SEEDLESS,
    UNDECIDED,
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
from vaeglow.reporting.traced import Texts
from vaeglow.results import Result, check_together, git_state, source_sha256

CONFIRMED = "confirmed"
EXPLORATORY = "exploratory"
PRIMARY = "primary"  # `registered` of the claims that Holm's correction is over
COLUMNS = (
    "claim",
    "statement",
    "published",
    "effect",
    "low",
    "high",
    "unit",
    "seeds",
    "preset",
    "needed",
    "dataset",
    "verdict",
    "status",
    "looks",
    "note",
    "where",
    "interval",
    "family",
    "registered",
    "p",
    "p_holm",
    "scale",
    "effects",
    "commit",
    "source_sha256",
    "device",
    "evidence_commit",
    "evidence_source_sha256",
    traced.FILES,
    traced.HASHES,
    traced.SEAL,
)


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
        claim = {"claim": name, "needed": asked(entry), **entry}
        seeds = seeds_of(claim, spec["seeds"]) if claim["run"] else []
        if claim["kind"] in SEEDLESS:
            seeds = seeds[:1]
        evidence = [Evidence(results_root, claim, seed, spec["styles"]) for seed in seeds]
        results = [seed.read(need["what"], need) for need in needed(claim) for seed in evidence]
        entries.append((claim, evidence, results))
    check_together(result for _, _, results in entries for result in results)
    rows = []
    for claim, evidence, results in entries:
        verdict = judged(evidence) | made_by(results) if evidence else missing(claim)
        rows.append({**claim, **made, **standing(claim, results), **verdict})
    confirm([row for row in rows if row["family"] == PRIMARY])
    return traced.sealed(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).fillna(""))


def asked(claim: Claim) -> str:
    """Where the whole interval must lie."""
    return f"< {claim['margin']:g}" if "margin" in claim else f"> {claim.get('threshold', 0):g}"


def standing(claim: Claim, results: Sequence[Result]) -> dict[str, str]:
    """Whether a claim was registered before its test images were seen, in which commit, and how often they were."""
    commits = [result.value("registered", "commit") for result in results if "registered" in result.content]
    return {
        "family": claim.get("registered", ""),
        "registered": traced.distinct(commits),
        "status": CONFIRMED if commits else EXPLORATORY,
        "looks": str(claim.get("looks", 1)),
    }


def confirm(family: Sequence[dict[str, str]]) -> None:
    """Holm's correction over the registered primary claims; one without a p, for whatever reason, counts as p = 1."""
    values = [float(row.get("p") or 1) for row in family]
    for row, p in zip(family, holm(values), strict=True):
        row["p_holm"] = f"{p:.3g}"
        if row["verdict"] in (HOLDS, FAILS) and p >= 1 - LEVEL:
            row["verdict"] = UNDECIDED


def missing(claim: Claim) -> dict[str, str]:
    """The verdict and note of a claim that is not measured."""
    if "missing" in claim:
        return {"verdict": UNDECIDED, "note": claim["missing"], "p": "1"}
    preset = claim.get("needs", claim["preset"])
    if preset == claim["preset"]:
        return {"verdict": NOT_RUN, "note": claim.get("unfit", "")}
    time = f"; the runs it reads take {claim['takes']}." if "takes" in claim else "."
    return {"verdict": NEEDS.format(needs=preset), "note": f"`make study PRESET={preset}` measures it{time}"}


def made_by(results: Sequence[Result]) -> dict[str, str]:
    """The cells that name a row's evidence, and the machines and commits that measured it."""
    made = [result for result in results if "provenance" in result.content]  # all but a config
    return {
        "device": traced.distinct(result.value("provenance", "device") for result in made),
        "evidence_commit": traced.distinct(result.commit for result in made),
        "evidence_source_sha256": traced.distinct(result.value("provenance", "source_sha256") for result in made),
        **traced.evidence_cells(results),
    }


def over_seeds(claim: Claim, seeds: Seeds) -> bool:
    """Whether the claim's interval is one over all of its seeds, of samples that beat the floor."""
    whole = max(SEEDS, len(claim.get("seeds", [])))
    if len(seeds) < whole or claim["kind"] in SEEDLESS:
        return False
    return np.mean([seed.lead for seed in seeds]) > 0


def judged(evidence: Sequence[Evidence]) -> dict[str, str]:
    """The measured part of a row, from the evidence under each seed."""
    claim = evidence[0].claim
    measure = kinds_of("claims")[claim["kind"]]
    seeds = [measure(of_seed) for of_seed in evidence]
    measured, verdict, notes = judge(claim, seeds)
    names = {role: evidence[0].name(role) for role in ROLES if role in claim}
    notes.append(seeds[0].words.format(**claim | names))
    for name, beside in zip(seeds[0].beside, measures_of(seeds)[1:], strict=True):
        effect, low, high, _ = interval(beside)
        notes.append(f"{name} likewise: {effect:.4g} [{low:.4g}, {high:.4g}]")
    notes += filter(None, [readings_of(seeds)])
    notes += dict.fromkeys(note for seed in seeds for note in seed.notes)
    return {
        "effect": "" if math.isnan(measured.effect) else f"{measured.effect:.4g}",
        "low": f"{measured.low:.4g}",  # inf: no bound on that side
        "high": f"{measured.high:.4g}",
        "unit": seeds[0].unit,
        "interval": measured.how,
        "scale": seeds[0].scale,
        "seeds": "" if claim["kind"] in SEEDLESS else " ".join(str(of_seed.seed) for of_seed in evidence),
        "effects": " ".join(f"{effect:.4g}" for effect in effects_of(seeds)),
        "p": f"{p_value(seeds, claim):.3g}" if over_seeds(claim, seeds) else "",
        "verdict": verdict,
        "note": ". ".join(note[0].upper() + note[1:] for note in notes) + ".",
    }


def readings_of(seeds: Seeds) -> str:
    """The numbers that the effects come from, means over the seeds, subject by subject."""
    readings = pd.DataFrame([dict(seed.readings) for seed in seeds]).mean()
    subjects: dict[str, list[str]] = {}
    for (subject, what), mean in readings.items():
        subjects.setdefault(subject, []).append(f"{what} {mean:.4g}")
    return "; ".join(f"{subject}: {', '.join(numbers)}" for subject, numbers in subjects.items())


def to_markdown(ledger: pd.DataFrame, spec: Spec) -> str:
    """What `build_ledger` made of a spec, as a page by `ledger.md.j2`: findings, the rule, and a note on each claim."""
    counts = ledger["verdict"].value_counts()
    order = sorted(counts.index, key=lambda verdict: [*statistics.VERDICTS, verdict].index(verdict))
    rows = [{**spec["claims"][row["claim"]], **row} for row in ledger.to_dict("records")]
    return render(
        "ledger.md",
        spec=spec,
        counts=[f"{verdict} {counts[verdict]}" for verdict in order],
        rows=rows,
        made={key: each_once(ledger[key]) for key in ("device", "evidence_commit")},
        rule=statistics,
        bootstrap=bootstrap,
        times=DISAGREE,
        tests=survivors(rows),
    )


def each_once(cells: Iterable[str]) -> Mapping[str, None]:
    """The values in cells of several, in order."""
    return dict.fromkeys(traced.BETWEEN.join(cells).split(traced.BETWEEN))


def survivors(rows: Sequence[Texts]) -> dict[str, int]:
    """How many tests over seeds there are, and how many survive Holm's and Benjamini and Hochberg's corrections."""
    from scipy import stats

    values = [float(row["p"]) for row in rows if row["p"] and row["effect"]]
    if not values:
        return {"all": 0, "holm": 0, "benjamini_hochberg": 0}
    return {
        "all": len(values),
        "holm": int((holm(values) < 1 - LEVEL).sum()),
        "benjamini_hochberg": int((stats.false_discovery_control(values) < 1 - LEVEL).sum()),
    }
