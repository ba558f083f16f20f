"""Write a study's pages from its results, and copy what they show to a folder beside them.

Numbers come from the results, but for some in the texts `CAVEATS` and `REGISTERED_TABLES`: revise these by hand
whenever a seed is added.

    python -m study.update cpu           # docs/measured*.md, docs/measured/
    python -m study.update registered    # docs/registered-results.md, docs/registered-tables.md, docs/registered/

takes a preset's results after `make study`. It also writes the preset's file in config/reference/, by which trainings
are checked. No picture that shows a real face, or was made of one, is copied.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import optimize, stats

from study.study import took
from tools import reference
from tools.update_demo import listed, short
from vaeglow.config import merge, read_config
from vaeglow.data.arrays import INFO_FILE, read_info
from vaeglow.errors import UserError
from vaeglow.files import read_csv, read_json, sha256_json, write_json, write_text
from vaeglow.reporting.claims.statistics import POWER
from vaeglow.reporting.columns import LEVEL
from vaeglow.reporting.terminal import claims_text
from vaeglow.reporting.traced import FIGURE_KEY
from vaeglow.results import Result, read_result
from vaeglow.steps import cli
from vaeglow.study import DATA, RESULTS

DOCS = Path(__file__).parents[1] / "docs"
OF_REAL = ("noise_maps", "nearest_training")  # kinds of figures that show real images, or what a model makes of one
MOST = 10 * 2**20  # bytes in a folder
DECIDE = re.compile(r"((?:About|More than) [\d,]+) seeds that spread")  # in a claim's note
# The tables of the first page; then by page its title and tables, the last with the rest.
MAIN = ("table1", "table2_baselines", "table3")
PAGES = {
    "times": ("times", ("table4", "training_time", "sampling")),
    "beyond": ("beyond the paper", ("beyond", "beyond_others", "beyond_information")),
    "ablations": ("ablations", ("squeeze", "noise", "training", "temperature", "glow_variants", "layer_action")),
    "tables": ("other tables", ()),
}
HIDDEN = ("Where", "Dataset", "Seeds", "Status")  # columns of the ledger that its page leaves out
SHARED = 3  # a note of so many tables is given once, before the tables
ELSEWHERE = ("- Made by", "- Trained on: ", "- Measured on: ")  # notes left out: the head of the page says it
MACHINES = "- Trained on several machines"
# Notes that stay with their table, however many tables have them: they say what others of the page have not.
OWN = (MACHINES, "- Fewer images", "- One seed")
OVERFLOWED = "of the samples drawn overflowed"  # in one of a model, which other tables have, too, with another number
SECONDS = re.compile(rf"^{MACHINES}: the seconds of training are of (seeds? [\d, ]+),", re.MULTILINE)
HEADING = re.compile(r"\| Training \((?:CPU )?s\)")  # of these seconds
# The registered claims on the page of the exploratory study.
KNOWN = re.compile(r"(?<=\(registered-results\.md\)\)\.\n\n).*?(?=\n\n\[Tables and all)", re.DOTALL)
SEED = re.compile(r"/seed(\d+)/")  # in the names of files
# Claims at the head of the first page.
HEADLINES = (
    *("quality_main", "quality_faces", "likelihood_main", "training_speed"),
    *("flow_prior_grey", "beyond_likelihood"),
)
HEAD = """# Measured on real images

## Registered before the test images were seen

The four primary claims, five seeds each. A positive effect favours the claim ([terms](registered-results.md)).

{registered}

[Tables and all registered claims](registered-results.md); [how far the published numbers are](published.md).

## Exploratory

{answer}

[Claim by claim](measured-claims.md). More tables: [times, with Table 4](measured-times.md), [beyond the
paper](measured-beyond.md), [ablations](measured-ablations.md), [others](measured-tables.md);
[figures](measured-figures.md).
"""
RUN = """## What was run

`make study PRESET={preset}` measured these results, and `python -m study.update {preset}` wrote this page:
preset `{preset}`, seeds {seeds}, with [this overlay](measured/overlay.yaml). Every number is read from the CSVs in
[measured/](measured/), which name the files they were made from. Those files are in [study/runs/](../study/runs/), and
the study continues from them ([study.md](study.md)).
"""
MORE = """# Measured on real images: {what}

[measured.md](measured.md) says what was run, and how to read the tables.
"""
FIGURES = """# Measured on real images: figures

Charts show every seed of the runs of [measured.md](measured.md), pale, and their mean; figures of images show the first
seed. Samples are the first drawn, not selected. The pictures here are reduced to 256 colours.
"""
CLAIMS = "# What holds on real images, and what does not\n\n"
RULE = """
A positive effect favours the claim; "Needs": where its whole 95% interval must lie; "Looks": designs that its test
images judged. [claims.md](measured/claims.md) has rule and notes, [measured.md](measured.md) the runs.
"""
REGISTERED = """# Registered results

[Claims, rule and data](registered.md) were fixed before any model met the fresh test images; those of Fashion-MNIST had
been seen. The registration is a commit of this repository: no third party holds it. Seeds: 3 to 7, of some claims 3 to
5. "Today's epochs": VAE 5, then Glow layer 4; Glow 5. By steps timed in turns the paper's model takes .93 to 1.00 of
Glow's time, on faces 1.00 to 1.05. In tables "ours" is the paper's model, "ours beyond the paper" [a model of this
project](beyond.md). "The paper's networks" on Fashion-MNIST are Dai & Wipf's: for these images the paper names none.

A positive number favours the claim; brackets are 95% intervals, not corrected. The verdict of a primary claim also
needs Holm's p, corrected for four tests, below .05, that of a secondary one does not: one interval can have two
verdicts. [Tables](registered-tables.md). The primary claims:

{answer}

A quality claim is undecided if no samples have a lower KID than a Gaussian fitted to the training pixels: on faces at
today's epochs none have ([notes](registered/claims.md)). `headline_faces` and a split claim count as p = 1 in Holm's
correction; with the p of their own tests `beyond_bits` would have .081: undecided, too. `_distinct`: without test
images that nearly copy a training image. A secondary claim has no verdict and no interval before its last seed. Weights
were lost with their machines: `literal_today` and `headline_today_distinct` are not measured, other claims lack seeds
([order of runs](../study/finished.yaml)).

Secondary claims, not corrected (95% intervals):

{secondary}
"""
CAVEATS = """## What these numbers do not say

- `headline` is split: by KID the paper's model leads (p .028, not corrected; level under seed 4), by FID neither (by
  seed {effects}). A split claim is neither won nor lost.
- At three times Glow has fewer bits/dim than the upper bound of `beyond` under every seed ({bits}); the true difference
  can be smaller, also in `beyond_bits_distinct`. At today's epochs `beyond` leads under every seed
  (`beyond_bits_today`), as in [three exploratory ones](measured-claims.md).
- At nine times today's epochs the paper's model has two seeds (FID 70.2 and 71.7), Glow one: no verdict. From three
  times on Glow's FID rises (seed 3, T = 1.0: 92.8 to 96.1), though its KID and bits/dim fall.
- "Better" is by FID and KID. On CIFAR-10 precision and density are Glow's at every budget; coverage is Glow's today,
  level at three times, the paper's model's at nine; recall is the paper's model's from three times on.
- At 5,000 images FID's bias is several points, and differs between models; KID has none.
- Temperatures were fixed on 500 validation samples of shorter runs. At three times Glow's FID is lower at T = 1.1
  ({fid[1.1]}) than at the registered 1.0 ({fid[1.0]}): with it FID would favour Glow more.
- Rates of the layer and of Glow were [searched alike](tuning.md); the VAE's and those of `beyond` are older. None was
  searched at three or nine times the epochs, where the paper's model needs more bits/dim than today: its reconstruction
  gains .27, its log-determinant loses .29, the KL .01.
- Of Glow's samples 1 to 10% overflow, and are clipped and kept, which changes its FID and KID; the paper's model's
  never do.
- The tests are over trainings: they do not cover another draw of test images. At 1.25%, the level of the first test,
  five seeds find a mean of {deviations:.1f} standard deviations (of `headline` 11 FID) with {power:.0%} power:
  undecided is not equal.
- Seed 3, which pictures and trained models show, was fixed before; of the paper's model at three times it is the best.
- Fashion-MNIST compares equal epochs, not times: the flow prior takes 2.5 to 2.9 times the CPU time of the two
  stages and has 21.8 million parameters, they 8.0 million. At their time the flow prior of seed 3 is between its
  snapshots of 15 and 30 epochs, FID 64.2 and 46.0 (with its rate still at 75 and 50%, so too high): about level with
  the two stages' 53.1.
- Not measured: Glow with additive couplings; bits/dim with more than one importance sample; whether the order of FIDs
  holds for many more images.
"""
REGISTERED_TABLES = """# Registered results: tables

The claims: [registered results](registered-results.md). Training is in CPU seconds of shared machines. Of three
machines of one name the first, slower one trained seed 3 on CIFAR-10; the second the same seed of faces, Fashion-MNIST
and `beyond` at today's epochs, and at three times seeds 4 to 7 of ours and Glow; the third all else. Equal time was
fixed before, by training steps timed in turns: the paper's model took .93 to 1.00 of Glow's time on CIFAR-10, 1.00 and
1.05 on faces, `beyond` .97. CPU seconds of whole runs on faces: 1.13, at three times the epochs 1.23 (one seed). Do not
compare the seconds of rows that other machines trained: the VAE's, and `beyond`'s, at three times. A later timing, with
batches of 16, not 32, gives .97, `beyond` 1.04 (1.10 at three times): the [figure of budgets](registered/budget.png)
has its times.
"""
REGISTERED_RUN = """## What was run

`make study PRESET=registered` measured these results, from the commits below, with [this
registration](../study/registered.yaml); [finished.yaml](../study/finished.yaml) says what is finished, and has the
commands that wrote this page. The files of the runs are in [study/runs/registered/](../study/runs/registered/).
"""


def datasets(study: Mapping[str, Any]) -> Iterator[str]:
    """A table of the datasets and their counts."""
    yield "| Role | Dataset | Kind | Images (train, val, test) | Shape | `data_sha256` |\n|---|---|---|---|---|---|"
    used = {run.split("/")[1] for run in study["runs"]}
    for role, dataset in study["roles"].items():
        if dataset in used:
            info = read_info(DATA / dataset)
            counts = ", ".join(f"{info['counts'][split]:,}" for split in ("train", "val", "test"))
            shape = f"{info['channels']}x{info['size']}x{info['size']}"
            digest = sha256_json(info["sha256"])[:16]
            yield f"| {role} | `{dataset}` | `{info['kind']}` | {counts} | {shape} | `{digest}` |"


def trainings(study: Mapping[str, Any]) -> Iterator[str]:
    """A table of the machines: runs, hours of one job each, commits."""
    yield "| Machine | Runs trained | Hours of training | Hours of measuring | Commits |\n|---|---:|---:|---:|---|"
    names = {file for run in study["runs"].values() for file in run["files"] if file.endswith((".json", ".npz"))}
    others = ("config.json", "registration.json")  # not trained or measured
    paths = [RESULTS / name for name in sorted(names) if not name.endswith(others)]
    results = [read_result(path) for path in paths if path.is_file()]  # a picture's samples are not kept
    machines: dict[str, list[Result]] = {}
    for result in results:
        machines.setdefault(result.value("provenance", "device"), []).append(result)
    if len(machines) > 1:
        machines["all"] = results
    for device, made in machines.items():
        trained = [result for result in made if result.path.name == "training.json"]
        jobs = {result.path.with_suffix(""): result for result in made if result not in trained}  # may be two files
        hours = f"{sum(map(took, trained)) / 3600:.2f} | {sum(map(took, jobs.values())) / 3600:.2f}"
        commits = "" if device == "all" else listed(short(result.commit for result in trained))
        yield f"| {device} | {len(trained)} | {hours} | {commits} |"


def shows_real_images(dataset: str | None, spec: Mapping[str, Any]) -> bool:
    """Whether a figure shows real images of a dataset, or what a model makes of them."""
    rows = [row for row in spec["rows"] if row["dataset"] == dataset]
    return any("data" in row or spec["kind"] in OF_REAL for row in rows)


def tables(root: Path, folder: Path) -> tuple[dict[str, str], str]:
    """The Markdown of each table by its name, and the notes that several share."""
    texts = {path.stem: path.read_text("utf-8") for path in sorted(root.glob("tables/*.md"))}
    notes = Counter(line for text in texts.values() for line in text.splitlines() if line.startswith("- "))
    several = [note for note, count in notes.items() if count >= SHARED and OVERFLOWED not in note]
    shared = [note for note in several if not note.startswith((*ELSEWHERE, *OWN))]
    shown = {}
    for name, text in texts.items():
        lines = [line for line in text.splitlines() if line not in shared and not line.startswith(ELSEWHERE)]
        table = beside_seconds("##" + "\n".join(lines).rstrip())
        links = f"[{name}.csv]({folder.name}/{name}.csv), [all columns]({folder.name}/{name}.full.csv)"
        rows = read_csv(root / f"tables/{name}.full.csv")
        seeds = sorted({seed for row in rows for seed in row.get("seeds", "").split()})
        if seeds:  # none: nothing is trained for times
            links += f", seeds {' '.join(seeds)}"
        shown[name] = f"{table}\n\n{links}\n"
    return shown, "\n".join(shared)


def beside_seconds(text: str) -> str:
    """A table with the seeds in the heading of its seconds of training, where they are not of all its seeds."""
    timed = SECONDS.search(text)
    return HEADING.sub(rf"\g<0>, {timed[1]}", text, count=1) if timed else text


def figures(study: Mapping[str, Any], root: Path, folder: Path) -> Iterator[str]:
    """Titles, captions and pictures, which are copied; none that shows a real face or was made of one."""
    for figure in sorted(root.glob("figures/*.png")):
        spec = read_json(root / f"specs/figures/{figure.stem}.json")
        if not shows_real_images(study["roles"].get("faces"), spec):
            with Image.open(figure) as image:  # a third of the bytes
                evidence = image.text[FIGURE_KEY]
                text = PngInfo()
                text.add_text(FIGURE_KEY, evidence)
                image.convert("RGB").quantize(256).save(folder / figure.name, optimize=True, pnginfo=text)
            said = f"**{spec['title']}.** {spec['caption']} Seed {listed(sorted(SEED.findall(evidence)))}."
            yield f"{said}\n\n![{spec['title']}]({folder.name}/{figure.name})\n"


def ledger(root: Path) -> tuple[str, str, str]:
    """The counts of the verdicts, the table without `HIDDEN` columns, and what the verdicts rest on."""
    text = (root / "claims.md").read_text(encoding="utf-8")
    text = text.partition("\n## The rule")[0].partition("\n")[2].strip()
    head = text.partition("\n|")[0].rstrip()
    counts, _, rest = head.partition("\n")
    basis = re.sub(r"^Measured on: .*\n", "", rest, flags=re.MULTILINE)  # claims.md has it
    rows = [re.split(r"(?<!\\)\|", line) for line in text.splitlines() if line.startswith("|")]
    shown = [index for index, heading in enumerate(rows[0]) if heading.strip() not in HIDDEN]
    table = "\n".join("|".join(row[index] for index in shown) for row in rows)
    return counts, table, basis.strip()


def power(root: Path) -> str:
    """How many seeds would decide the claims that are undecided; empty where none is."""
    seeds = []
    for row in read_csv(root / "claims.csv"):
        decide = DECIDE.match(row["note"])
        if decide:
            seeds.append(f"`{row['claim']}` {decide[1].lower()}")
    named = ", ".join(seeds)
    decided = f"Seeds that would decide what is undecided with 80% power, if mean and spread were as seen: {named}.\n"
    return decided if seeds else ""


def detectable(seeds: int, level: float) -> float:
    """The mean, in standard deviations, that a paired t-test of so many seeds decides with 80% power."""
    degrees = seeds - 1
    critical = stats.t.isf(level / 2, degrees)
    return optimize.brentq(lambda mean: stats.nct.sf(critical, degrees, mean * sqrt(seeds)) - POWER, 0, 20)


def caveats(folder: Path) -> str:
    """`CAVEATS` with the numbers that results have."""
    rows = {row["claim"]: row for row in read_csv(folder / "claims.full.csv")}
    headline = rows["headline"]
    family = sum(row["family"] == "primary" for row in rows.values())
    glow = (row for row in read_csv(folder / "registered_longer.full.csv") if row["run"] == "glow_longer")
    return CAVEATS.format(
        effects=headline["effects"].replace(" ", ", "),
        bits=rows["beyond_bits"]["effects"].replace(" ", ", "),
        fid={row["temperature"]: row["fid"] for row in glow},
        power=POWER,
        deviations=detectable(len(headline["seeds"].split()), (1 - LEVEL) / family),
    )


def claims_of(folder: Path, family: str) -> str:
    """The registered claims of a family, as a list: verdict, words, measured effects, Holm's p."""
    answer = []
    for row in read_csv(folder / "claims.full.csv"):
        if row["family"] != family:
            continue
        interval = f" [{row['low']}, {row['high']}]".replace(" [-inf, inf]", "")
        effects = [
            row["effect"] and f"{row['effect']}{interval} {row['unit']}",
            row["beside"],
            row["p"] and family == "primary" and f"Holm's p {row['p_holm']}",
            not row["effect"] and row["note"],
        ]
        measured = ", ".join(filter(None, effects))
        measured = measured and f" ({measured})"
        answer.append(f"- **{row['verdict']}**, `{row['claim']}`: {row['statement']}{measured}")
    return "\n".join(answer)


def measured(study: Mapping[str, Any], root: Path, folder: Path) -> dict[str, str]:
    """The text of each page of an exploratory study by its file; its pictures are copied to `folder`."""
    preset = study["preset"]
    texts, notes = tables(root, folder)
    answer = claims_text(root / "claims.csv", HEADLINES).partition("\n\n")[0].replace("\n-", "\n\n-", 1)
    known = folder.with_name("registered")  # of another preset
    fixed = claims_of(known, "primary") if known.is_dir() else "Not yet."
    parts = [HEAD.format(answer=answer, registered=fixed), "## Tables\n"]
    parts += [texts.pop(name) for name in MAIN if name in texts]
    parts += [f"## How to read the tables\n\n{notes}\n", RUN.format(preset=preset, seeds=listed(study["seeds"]))]
    parts += ["\n".join(lines) + "\n" for lines in (datasets(study), trainings(study))]
    more = {}
    for page, (title, names) in PAGES.items():
        shown = [texts.pop(name) for name in names or list(texts) if name in texts]
        more[f"measured-{page}.md"] = "\n".join([MORE.format(what=title), *shown])
    counts, table, basis = ledger(root)
    return {
        "measured.md": "\n".join(parts),
        **more,
        "measured-figures.md": "\n".join([FIGURES, *figures(study, root, folder)]),
        "measured-claims.md": "\n".join([CLAIMS + counts, "", table, RULE, basis, "", power(root)]) + "\n",
    }


def registered(study: Mapping[str, Any], root: Path, folder: Path) -> dict[str, str]:
    """The pages of a registered study by file: verdicts and pictures; tables. Pictures are copied to `folder`."""
    texts, notes = tables(root, folder)
    parts = [REGISTERED.format(answer=claims_of(folder, "primary"), secondary=claims_of(folder, "secondary"))]
    parts += [f"[Notes on each]({folder.name}/claims.md), [all columns]({folder.name}/claims.full.csv).\n"]
    parts += [caveats(folder), "## Pictures\n", *figures(study, root, folder)]
    parts += [REGISTERED_RUN, *("\n".join(lines) + "\n" for lines in (datasets(study), trainings(study)))]
    names = sorted(texts, key=lambda name: name.startswith("distance"))  # quality first
    shown = [REGISTERED_TABLES, *(texts[name] for name in names), *([f"{notes}\n"] if notes else [])]
    return {"registered-results.md": "\n".join(parts), "registered-tables.md": "\n".join(shown)}


@cli.step
def main(preset: str, *, docs: Path = DOCS) -> None:
    """Write all of it.

    Args:
        preset: of the study, cpu or registered
        docs: folder of the pages
    """
    root = RESULTS / preset
    study = {**read_json(root / "study.json"), "preset": preset}
    if not [*root.glob("tables/*.md")] or not (root / "claims.md").is_file():
        raise UserError(f"no tables, or no claims, in {root}: finish `make study PRESET={preset}` first")
    overlay = docs.parent / f"study/{preset}.yaml"
    settings = yaml.safe_load(overlay.read_text("utf-8"))
    write = registered if "registration" in settings else measured
    folder = docs / write.__name__
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.csv"), *folder.glob("*.png")]:
        old.unlink()
    for path in [*root.glob("tables/*.csv"), *root.glob("claims*.csv"), root / "claims.md"]:
        shutil.copy(path, folder)
    for name, text in write(study, root, folder).items():
        (docs / name).write_text(text, encoding="utf-8")
    if write is registered:  # the page of the exploratory study begins with these claims
        page = docs / "measured.md"
        text = KNOWN.sub(lambda _: claims_of(folder, "primary"), page.read_text("utf-8"))
        page.write_text(text, encoding="utf-8")
    reference.write(preset, [RESULTS], docs.parent / "config/reference")
    if write is measured:  # with these `make figures FROM=study/runs` draws again
        shutil.copy(overlay, folder / "overlay.yaml")
        write_json(docs.parent / "study/runs/config.json", merge(read_config(Path("config").joinpath), settings))
        for dataset in {run.split("/")[1] for run in study["runs"]}:
            name = f"{dataset}/{INFO_FILE}"
            write_text(docs.parent / "study/runs/resources/data" / name, (DATA / name).read_text("utf-8"))
    sizes = {path: path.stat().st_size for path in folder.glob("*") if path.is_file()}
    total = sum(sizes.values())
    if total > MOST:
        largest = max(sizes, key=sizes.__getitem__)
        print(f"note: {folder} holds {total / 2**20:.1f} MiB, more than {MOST / 2**20:.0f}; the largest is {largest}")
