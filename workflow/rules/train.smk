# Training: a resolved config and prepared data -> one self-describing weights file.
#
#   config.json, resources/data/{dataset}  ->  model.safetensors, history.csv, training.json, snapshots.safetensors
#   (all in the run's folder)
#
# config.json is an input: editing one key in config/ retrains the runs whose config.json changes, and no other.
# The resume state is a folder unknown to Snakemake, because Snakemake deletes declared outputs when a job starts
# or fails: stop at any time, run the same command again, and training resumes.
# Snakemake deletes a log when its job starts again; those of earlier attempts stay in state/attempts.


TRAINING_OPTIONS = f"--device {DEVICE} --memory {MEMORY} --save-minutes {config['runtime']['save_minutes']}"
TRAINING_OPTIONS += " --tensorboard" * config["runtime"]["tensorboard"]


rule write_config:
    output:
        result("config"),
    log:
        "logs/write_config/{preset}/{dataset}/{model}/seed{seed}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        content=lambda wildcards: json.dumps(run_config(wildcards), indent=2),
    shell:
        "printf '%s\\n' {params.content:q} >{output} 2>{log}"


rule train_vae:
    input:
        config=result("config"),
        info="resources/data/{dataset}/dataset.json",
        train=ancient("resources/data/{dataset}/train.npy"),
        val=ancient("resources/data/{dataset}/val.npy"),
    output:
        model=result("model"),
        history=result("history"),
        training=result("training"),
        snapshots=result("snapshots"),
    log:
        "logs/train_vae/{preset}/{dataset}/{model}/seed{seed}.log",
    wildcard_constraints:
        model=targets.models_of(config, "train_vae"),
    conda:
        "../../environment.yml"
    threads: lambda wildcards: devices(wildcards) * run_threads(wildcards)
    resources:
        gpu=lambda wildcards: devices(wildcards) * gpus(wildcards),
        options=TRAINING_OPTIONS,
    params:
        state="results/{preset}/{dataset}/{model}/seed{seed}/state",
    shell:
        """
        exec python -m vaeglow.steps.train --config {input.config} --data-dir resources/data/{wildcards.dataset} \
            --model {output.model} --history {output.history} --training {output.training} \
            --snapshots {output.snapshots} {resources.options} \
            --state-dir {params.state} >{log} 2>&1
        """


# Mode `joint`: VAE, prior and layer together from the start. `base` only gives the VAE's architecture: no input.
use rule train_vae as train_joint with:
    log:
        "logs/train_joint/{preset}/{dataset}/{model}/seed{seed}.log",
    wildcard_constraints:
        model=targets.models_of(config, "train_joint"),


# A model to compare with, trained by itself: Glow, PixelCNN, PixelIQN, Residual Flow, and any new kind.
use rule train_vae as train_baseline with:
    log:
        "logs/train_baseline/{preset}/{dataset}/{model}/seed{seed}.log",
    wildcard_constraints:
        model=targets.models_of(config, "train_baseline"),


# Phase 2: the Glow layer on a frozen VAE; mode `finetune`: a model trained in both phases, fine-tuned as a whole.
# Its base model (`base` in config) is an input.
rule train_glow_layer:
    input:
        config=result("config"),
        info="resources/data/{dataset}/dataset.json",
        train=ancient("resources/data/{dataset}/train.npy"),
        val=ancient("resources/data/{dataset}/val.npy"),
        base=lambda wildcards: result_path("results", "model", **run_config(wildcards)["base"]),
        base_training=lambda wildcards: result_path("results", "training", **run_config(wildcards)["base"]),
    output:
        model=result("model"),
        history=result("history"),
        training=result("training"),
        snapshots=result("snapshots"),
    log:
        "logs/train_glow_layer/{preset}/{dataset}/{model}/seed{seed}.log",
    wildcard_constraints:
        model=targets.models_of(config, "train_glow_layer"),
    priority: 5  # before another base model: a study that is cut off then has runs with both phases
    conda:
        "../../environment.yml"
    threads: lambda wildcards: devices(wildcards) * run_threads(wildcards)
    resources:
        gpu=lambda wildcards: devices(wildcards) * gpus(wildcards),
        options=TRAINING_OPTIONS,
    params:
        state="results/{preset}/{dataset}/{model}/seed{seed}/state",
    shell:
        """
        exec python -m vaeglow.steps.train --config {input.config} \
            --base {input.base} --base-training {input.base_training} --data-dir resources/data/{wildcards.dataset} \
            --model {output.model} --history {output.history} --training {output.training} \
            --snapshots {output.snapshots} {resources.options} \
            --state-dir {params.state} >{log} 2>&1
        """


# A second VAE that learns the latents of a frozen one (`base` in config, an input), what Table 1 compares with.
use rule train_glow_layer as train_two_stage with:
    log:
        "logs/train_two_stage/{preset}/{dataset}/{model}/seed{seed}.log",
    wildcard_constraints:
        model=targets.models_of(config, "train_two_stage"),


# That a run was trained after its registration, with the config that is registered (docs/registered.md).
rule register:
    input:
        config=result("config"),
        training=result("training"),
        overlay=config.get("registration") or [],
    output:
        result("registration"),
    log:
        "logs/register/{preset}/{dataset}/{model}/seed{seed}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        step="register",
    shell:
        """
        python -m vaeglow.steps.{params.step} \
            --config {input.config} --training {input.training} --overlay {input.overlay:q} \
            --output {output} \
            >{log} 2>&1
        """
