# What all rules share, light (no torch, no pandas). Logic that can be tested is in vaeglow/config.

import json
import os
import shlex
import shutil
import sys

sys.path.insert(0, str(ROOT))

from vaeglow.config import inherited, plan, resolve
from vaeglow.config.check import check_config, outside
from vaeglow.config.plan import one_of
from vaeglow.config.schema import kinds
from vaeglow.errors import UserError
from vaeglow.evaluation.probes import probe
from vaeglow.paths import RESULTS


def or_exit(function, *arguments):
    """Call `function`; an error the user can mend ends Snakemake with its one line and no traceback."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


# {preset: the config as that preset sees it}, checked to the last key and name.
EFFECTIVE = or_exit(
    check_config, config, ROOT / "workflow/schemas/config.schema.yaml", ROOT / "resources/published.csv"
)
PRESET = config["preset"]
for line in outside(EFFECTIVE[PRESET], Path.cwd()):
    print(line, file=sys.stderr)
EVERYTHING = [
    *expand("results/{table}.{ending}", table=config["tables"], ending=["csv", "md", "html", "tex"]),
    *expand("results/{figure}.{ending}", figure=config["figures"], ending=["png", "pdf"]),
    *multiext("results/claims", ".csv", ".md", ".html"),
    *plan.pages(config, EFFECTIVE[PRESET]),
]


def built(wildcards):
    """The results that exist, for a report of them."""
    found = [file for file in EVERYTHING if Path(file).exists()]
    return found or sys.exit("error: nothing is built: run `make table2`")


# {dataset: how many images a run on it draws}, for each preset
SAMPLES = {preset: plan.sample_counts(view) for preset, view in EFFECTIVE.items()}
PUBLISHED = os.path.relpath(ROOT / "resources/published.csv")
STYLE = os.path.relpath(ROOT / "vaeglow/reporting/style.py")


def models_of(kind, *modes):
    """The alternation of all models of one kind (a vae_glow: trained in one of these modes): what a rule trains."""
    names = [name for name in config["models"] if inherited(config, name, "kind") == kind]
    return one_of(name for name in names if not modes or inherited(config, name, "mode") in modes)


wildcard_constraints:
    preset=one_of(config["presets"]),
    dataset=one_of(config["datasets"]),
    model=one_of(config["models"]),
    seed=one_of(sorted({seed for view in EFFECTIVE.values() for seed in view["seeds"]})),
    protocol=one_of(config["protocols"]),
    table=one_of(config["tables"]),
    figure=one_of(config["figures"]),
    temperature=one_of(plan.temperatures(EFFECTIVE)),
    space="prior|latent",


def run_config(wildcards):
    """The resolved config of the run these wildcards name: what its config.json holds."""
    w = wildcards
    return or_exit(resolve, config, w.preset, w.dataset, w.model, int(w.seed))


def run_threads(wildcards):
    """CPU threads inside torch for one run. Snakemake reserves as many cores, or all it has if that is fewer."""
    return run_config(wildcards)["training"]["threads"]


def training_processes(needs):
    """A function of a job's wildcards that says what one process of it needs, for all that train one run."""
    return lambda wildcards: needs(wildcards) * run_config(wildcards)["training"]["devices"]


def timed_configs(wildcards):
    """The resolved configs, under the first seed, of all models that are timed together."""
    w, seed = wildcards, EFFECTIVE[wildcards.preset]["seeds"][0]
    models = plan.timed_models(EFFECTIVE, w.preset, w.dataset)
    return [or_exit(resolve, config, w.preset, w.dataset, model, seed) for model in models]


def on_cluster():
    """Whether jobs run on other machines, asked by the Snakemake that submits them or by the one inside such a job.

    To be called in functions only: Snakemake does not know while it reads this file. A dry run never gets to know, and
    goes by `jobs`, which every cluster's profile sets.
    """
    if workflow.dryrun:
        return bool(workflow.resource_settings.nodes)
    return workflow.remote_exec or not workflow.local_exec


def timing_threads(wildcards):
    """All the cores of this machine that Snakemake may use, so that a timed job runs alone; on a cluster, the run's."""
    return evaluation_threads(wildcards) if on_cluster() else workflow.cores


def evaluation_threads(wildcards):
    """The same for a job that belongs to a preset and to no single run."""
    return EFFECTIVE[wildcards.preset]["training"]["threads"]


DEVICE = config["runtime"]["device"]


def gpus(wildcards):
    """How many GPUs a process takes: one when it may use one, so that two jobs never share it (which one: vaeglow.locks);
    none on a machine without (there `--cores 2` trains two models side by side)."""
    return int(DEVICE == "cuda" or (DEVICE == "auto" and (on_cluster() or bool(shutil.which("nvidia-smi")))))


# As `resources` (how to run, not what comes out) these may change without a rerun; as `params` they could not.
MEMORY = config["runtime"]["memory"]
SAVE_MINUTES = str(config["runtime"]["save_minutes"])
TENSORBOARD = "--tensorboard" if config["runtime"]["tensorboard"] else ""

# Jobs find the package wherever Snakemake was started, and the Python that runs Snakemake
# (`.venv/bin/snakemake` without activating) unless a rule brings its own by conda or a container.
prefix = (
    f"set -euo pipefail; export VAEGLOW_CLAIM_GPU=1 PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}; "
    "exec 3>&2; export VAEGLOW_TERMINAL=3; "  # past the log to where Snakemake prints: vaeglow.training.progress
)
if config["runtime"]["deterministic"]:
    prefix += "export VAEGLOW_DETERMINISTIC=1; "  # read by vaeglow.device, in every step that computes
if not workflow.deployment_settings.deployment_method:
    prefix += f"export PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; "
shell.prefix(prefix.replace("{", "{{").replace("}", "}}"))
