# Shared by all rules; imports no torch and no pandas. Logic that can be tested is in vaeglow/config.
# Rules with `localrule` run where Snakemake runs: they take seconds or need the network.

import json
import os
import shlex
import sys
from functools import partial

CLONE = str(ROOT) if ROOT and (ROOT / "vaeglow").is_dir() else ""  # else the package is installed
if CLONE:
    sys.path.insert(0, CLONE)

from vaeglow.config import config_file, merge, plan, read_config, resolve, targets, view_of
from vaeglow.config.check import check_config, outside
from vaeglow.config.registry import kinds_of
from vaeglow.errors import UserError
from vaeglow.files import write_json
from vaeglow.paths import INCEPTION, RESULTS, RUN, result_path
from vaeglow.snakemake_errors import LastLine
from vaeglow.steps.cli import flags
from vaeglow.time_left import TimeLeft


def or_exit(function, *arguments):
    """Call `function`; a user error ends Snakemake with one line and no traceback."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


# For a module with `config:` the folder's own files count only if all are there.
find = partial(config_file, shipped, workflow.modifier.skip_configfile)
config = merge(config, or_exit(read_config, find), config)  # an overlay's keys stay on top, and in their order
PUBLISHED = shipped("resources/published.csv")
# {preset: the config as that preset sees it}, checked to the last key and name.
VIEWS = or_exit(check_config, config, Path(shipped("workflow/schemas/config.schema.yaml")), PUBLISHED)
PRESET = config["preset"]
# As `resources` (how to run, not what comes out) these may change without a rerun; as `params` they could not.
DEVICE = config["runtime"]["device"]
MEMORY = config["runtime"]["memory"]

for line in outside(VIEWS[PRESET], Path.cwd()):
    print(line, file=sys.stderr)
if workflow.is_main_process and TimeLeft not in map(type, logger.handlers):  # another module's counts all jobs
    logger.addHandler(TimeLeft(workflow))
    rules_named = lambda: [rule.name for rule in workflow.rules if not rule.has_wildcards()]
    last_line = LastLine(lambda: [*targets.askable(config, VIEWS[PRESET]), *rules_named()])
    for handler in logger.handlers:
        handler.addFilter(last_line.shown)
    logger.addHandler(last_line)


wildcard_constraints:
    preset=targets.one_of(config["presets"]),
    dataset=targets.one_of(config["datasets"]),
    model=targets.one_of(config["models"]),
    seed=targets.one_of({seed for view in VIEWS.values() for seed in view["seeds"]}),
    protocol=targets.one_of(config["protocols"]),
    table=targets.one_of(VIEWS[PRESET]["tables"]),
    figure=targets.one_of(VIEWS[PRESET]["figures"]),
    temperature=targets.one_of(targets.temperatures(VIEWS)),
    space="prior|latent",


def run_config(w):
    """The resolved config of the run these wildcards name, the content of its config.json."""
    return or_exit(resolve, config, w.preset, w.dataset, w.model, int(w.seed))


def configs(preset, dataset, models):
    """Configs of models under the preset's first seed, as JSON."""
    seed = VIEWS[preset]["seeds"][0]
    return [json.dumps(or_exit(resolve, config, preset, dataset, model, seed)) for model in models]


# The path of one kind of result, with its wildcards: `RESULTS` lists them.
result = lambda what: f"results/{RESULTS[what]}"
# The processes that train one run, each on a GPU of its own.
devices = lambda wildcards: run_config(wildcards)["training"]["devices"]
# CPU threads inside torch for one run, and for a job of a preset. Snakemake reserves as many cores, or all if they are fewer.
run_threads = lambda wildcards: run_config(wildcards)["training"]["threads"]
preset_threads = lambda wildcards: VIEWS[wildcards.get("preset", PRESET)]["training"]["threads"]


def on_cluster():
    """Whether jobs run on other machines: for functions only, Snakemake does not know while it reads this file."""
    if workflow.dryrun:  # never gets to know: it goes by `jobs`, which every cluster's profile sets
        return bool(workflow.resource_settings.nodes)
    return workflow.remote_exec or not workflow.local_exec


def gpus(wildcards):
    """How many GPUs a process takes: one where it may use one, so that two jobs never share it; none without a GPU."""
    return int(DEVICE == "cuda" or (DEVICE == "auto" and (on_cluster() or targets.sees_gpu())))


# Jobs find the package wherever Snakemake was started, and the Python that runs it, unless conda or a container has one
prefix = "set -euo pipefail; export VAEGLOW_CLAIM_GPU=1; "
prefix += "exec 3>&2; export VAEGLOW_TERMINAL=3; "  # Snakemake's own output, not the log: vaeglow.training.progress
if CLONE:
    prefix += f"export PYTHONPATH={shlex.quote(CLONE)}${{PYTHONPATH:+:$PYTHONPATH}}; "
if config["runtime"]["deterministic"]:
    prefix += "export VAEGLOW_DETERMINISTIC=1; "  # read by vaeglow.device, in every step that computes
if not workflow.deployment_settings.deployment_method:
    prefix += f"export PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; "
shell.prefix(prefix.replace("{", "{{").replace("}", "}}"))
