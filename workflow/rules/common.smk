# Shared by all rules; imports no torch and no pandas. Logic that can be tested is in vaeglow/config.
# Rules with `localrule` run where Snakemake runs, on a cluster too: they take seconds, or need the network, which nodes
# often lack.

import json
import os
import shlex
import shutil
import sys

if ROOT:
    sys.path.insert(0, str(ROOT))

from vaeglow.config import inherited, merge, plan, read_config, resolve
from vaeglow.config.check import check_config, outside
from vaeglow.config.schema import kinds
from vaeglow.errors import UserError
from vaeglow.evaluation.probes import PROBES
from vaeglow.snakemake_errors import LastLine
from vaeglow.paths import INCEPTION, RESULTS, RUN, result_path
from vaeglow.time_left import TimeLeft


def or_exit(function, *arguments):
    """Call `function`; a user error ends Snakemake with one line and no traceback."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


def config_file(name):
    """A file of config/: the folder's own, or else the repository's; of a module with `config:` the repository's."""
    own = Path("config", name)
    return own if own.exists() and not workflow.modifier.skip_configfile else shipped(f"config/{name}")


config = merge(config, or_exit(read_config, config_file), config)  # an overlay's keys stay on top, and in their order
PUBLISHED = shipped("resources/published.csv")
# {preset: the config as that preset sees it}, checked to the last key and name.
EFFECTIVE = or_exit(check_config, config, Path(shipped("workflow/schemas/config.schema.yaml")), PUBLISHED)
PRESET = config["preset"]
MAIN = EFFECTIVE[PRESET]["roles"]["main"]  # the dataset in the paper's place
SEEDS = sorted({seed for view in EFFECTIVE.values() for seed in view["seeds"]})
for line in outside(EFFECTIVE[PRESET], Path.cwd()):
    print(line, file=sys.stderr)
EVERYTHING = [
    *expand("results/{t}.{end}", t=EFFECTIVE[PRESET]["tables"], end=["csv", "full.csv", "md", "html", "tex"]),
    *expand("results/{figure}.{end}", figure=EFFECTIVE[PRESET]["figures"], end=["png", "pdf"]),
    *multiext("results/claims", ".csv", ".full.csv", ".md", ".html"),
    *plan.pages(config, EFFECTIVE[PRESET]),
]


def targets():
    """What can be asked for, to find the name nearest to a mistyped one: rules, what is published, files of runs."""
    names = {what: config[f"{what}s"] for what in ("preset", "dataset", "model", "table", "figure")}
    files = [f"results/{path}" for path in RESULTS.values() if "{protocol}" not in path]
    files += ["results/{preset}/tables/{table}.csv", "results/{preset}/figures/{figure}.png"]
    values = {"seed": SEEDS, "temperature": plan.temperatures(EFFECTIVE), "space": ["prior", "latent"]}
    found = expand(files, **names, **values, allow_missing=True)  # {started}
    return [*EVERYTHING, *(rule.name for rule in workflow.rules if not rule.has_wildcards()), *found]


if workflow.is_main_process and TimeLeft not in map(type, logger.handlers):  # another module's counts all jobs
    logger.addHandler(TimeLeft(workflow))
    logger.addHandler(LastLine(targets))


NOT_EMBEDDED = {"local", "sources", "root", "file"}  # keys that embedded datasets do not have


def built(wildcards):
    """The results that exist, for a report of them."""
    found = [file for file in EVERYTHING if Path(file).exists()]
    return found or sys.exit("error: nothing is built: run `make table2`")


def drawn(wildcards):
    """The same for `make figures`, without figures of images that are neither prepared nor embedded."""
    view, found = EFFECTIVE[PRESET], []
    for file in built(wildcards):
        figure = Path(file).stem if Path(file).suffix in (".png", ".pdf") else ""
        shown = plan.figure_data(view, figure, "images") if figure in view["figures"] else []
        elsewhere = [path for path in shown if view["datasets"][Path(path).parts[2]].keys() & NOT_EMBEDDED]
        if lacking := [path for path in elsewhere if not Path(path).exists()]:
            print(f"note: {file} is left as it is: it shows images of {lacking[0]}, not there", file=sys.stderr)
        found += [] if lacking else [file]
    return found


def prepared(wildcards):
    """What training and measuring take: plan, configs, data, Inception and the references of FIDs."""
    view = EFFECTIVE[PRESET]
    runs = plan.study(config, view)["runs"]
    measured = [need for need in plan.all_needs(view) if "{protocol}" in RESULTS[need["what"]]]
    return [
        f"results/{PRESET}/study.json",
        *expand("results/{run}/config.json", run=runs),
        *expand("resources/data/{dataset}/dataset.json", dataset=sorted({Path(run).parts[1] for run in runs})),
        *plan.paths({**need, "what": "reference"} for need in measured),
        INCEPTION,
    ]


STYLE = os.path.relpath(Path(plan.__file__).parents[1] / "reporting/style.py")


def models_of(what):
    """A regular expression for all models that a rule of this name trains (`RULES` of their kinds)."""
    found = {name: [inherited(config, name, key) for key in ("kind", "mode")] for name in config["models"]}
    return plan.one_of(name for name, (kind, mode) in found.items() if kinds("models")[kind].RULES[mode] == what)


wildcard_constraints:
    preset=plan.one_of(config["presets"]),
    dataset=plan.one_of(config["datasets"]),
    model=plan.one_of(config["models"]),
    seed=plan.one_of(SEEDS),
    protocol=plan.one_of(config["protocols"]),
    table=plan.one_of(config["tables"]),
    figure=plan.one_of(config["figures"]),
    temperature=plan.one_of(plan.temperatures(EFFECTIVE)),
    space="prior|latent",


def run_config(wildcards):
    """The resolved config of the run these wildcards name, the content of its config.json."""
    w = wildcards
    return or_exit(resolve, config, w.preset, w.dataset, w.model, int(w.seed))


def configs(preset, dataset, models=None):
    """Configs under the preset's first seed, as JSON: of these models, or of those that are timed there."""
    models, seed = models or plan.timed_models(EFFECTIVE[PRESET], preset, dataset), EFFECTIVE[preset]["seeds"][0]
    return [json.dumps(or_exit(resolve, config, preset, dataset, model, seed)) for model in models]


def run_threads(wildcards):
    """CPU threads inside torch for one run. Snakemake reserves as many cores, or all there are if that is fewer."""
    return run_config(wildcards)["training"]["threads"]


def evaluation_threads(wildcards):
    """The same for a job of a preset, not of a single run."""
    return EFFECTIVE[wildcards.get("preset", PRESET)]["training"]["threads"]


def timing_threads(wildcards):
    """All the cores of this machine that Snakemake may use, so that a timed job runs alone; on a cluster, the run's."""
    return evaluation_threads(wildcards) if on_cluster() else workflow.cores


def on_cluster():
    """Whether jobs run on other machines: for functions only, since Snakemake does not know while it reads this file.

    A dry run never gets to know, and goes by `jobs`, which every cluster's profile sets.
    """
    if workflow.dryrun:
        return bool(workflow.resource_settings.nodes)
    return workflow.remote_exec or not workflow.local_exec


def gpus(wildcards):
    """How many GPUs a process takes: one where it may use one, so that two jobs never share it; none without a GPU."""
    return int(DEVICE == "cuda" or (DEVICE == "auto" and (on_cluster() or bool(shutil.which("nvidia-smi")))))


def training_processes(needs):
    """What the processes that train one run need together; `needs`: what one needs, a function of the wildcards."""
    return lambda wildcards: needs(wildcards) * run_config(wildcards)["training"]["devices"]


# As `resources` (how to run, not what comes out) these may change without a rerun; as `params` they could not.
DEVICE = config["runtime"]["device"]
MEMORY = config["runtime"]["memory"]

# Jobs find the package wherever Snakemake was started, and the Python that runs Snakemake
# (`.venv/bin/snakemake` without activating) unless a rule brings its own by conda or a container.
prefix = (
    "set -euo pipefail; export VAEGLOW_CLAIM_GPU=1; "
    "exec 3>&2; export VAEGLOW_TERMINAL=3; "  # Snakemake's own output, not the log: vaeglow.training.progress
)
if ROOT:
    prefix += f"export PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}; "
if config["runtime"]["deterministic"]:
    prefix += "export VAEGLOW_DETERMINISTIC=1; "  # read by vaeglow.device, in every step that computes
if not workflow.deployment_settings.deployment_method:
    prefix += f"export PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; "
shell.prefix(prefix.replace("{", "{{").replace("}", "}}"))
