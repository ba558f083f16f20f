# Evaluation: weights and prepared data -> samples, test bits per dimension, FID.
#
#   model.safetensors           ->  samples/T{temperature}.npz                 (sample)
#   model.safetensors, test.npy ->  likelihood.json, likelihood.npz            (likelihood)
#   {split}.npy, Inception      ->  fid_reference/{protocol}.npz               (fid_reference)
#   samples, fid_reference      ->  metrics/{protocol}/T{temperature}.json     (evaluate; the samples' features: .npz)
#   snapshots.safetensors, ...  ->  snapshots/{protocol}/T{temperature}.json   (evaluate_snapshots)
#
# A protocol (config) names split, image count, Inception features, sets of samples and whether they are stretched: an
# FID is keyed by all five. The reference file passes them to the steps that measure samples.
# The reference comes first (`priority`): too few images or missing weights are reported before the training.


rule inception_weights:
    output:
        weights=INCEPTION,
    log:
        "logs/inception_weights/inception-2015-12-05.log",
    priority: 100
    localrule: True
    conda:
        "../../environment.yml"
    params:
        # a function: in a plain string Snakemake would expand wildcards, and a path may contain braces
        settings=lambda wildcards: json.dumps(EFFECTIVE[PRESET]["evaluation"]["inception"]),
    shell:
        """
        python -m vaeglow.steps.inception_weights \
            --settings {params.settings:q} \
            --output {output.weights} \
            >{log} 2>&1
        """


# The body of all rules that measure a run, here and in probe.smk; each declares its inputs, outputs and flags.
rule sample:
    input:
        **reads("model"),
    output:
        main=result("samples"),
    log:
        "logs/sample/{preset}/{dataset}/{model}/seed{seed}/T{temperature}.log",
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        device=DEVICE,
    params:
        step="sample",
        inputs=input_flags,
        flags=lambda wildcards: flags(
            temperature=wildcards.temperature, count=SAMPLES[wildcards.preset][wildcards.dataset]
        ),
    shell:
        """
        python -m vaeglow.steps.{params.step:q} {params.inputs:q} {params.flags:q} \
            --device {resources.device:q} \
            --output {output.main} \
            >{log} 2>&1
        """


use rule sample as likelihood with:
    input:
        **reads("model", "test"),
    output:
        main=result("likelihood"),
        per_image=result("likelihood_images"),
    log:
        "logs/likelihood/{preset}/{dataset}/{model}/seed{seed}.log",
    params:
        step="likelihood",
        flags=lambda wildcards: flags(**evaluation(wildcards, "batch_size", "importance_samples", "importance_images")),


use rule sample as fid_reference with:
    input:
        **reads("weights", "info"),
        test=lambda wildcards: ancient(
            "resources/data/{}/{split}.npy".format(
                wildcards.dataset, **plan.protocol(EFFECTIVE[wildcards.preset], wildcards.protocol)
            )
        ),
    output:
        main=result("reference"),
    log:
        "logs/fid_reference/{preset}/{dataset}/{protocol}.log",
    priority: 100
    threads: evaluation_threads
    params:
        step="fid_reference",
        flags=lambda wildcards: flags(
            protocol=wildcards.protocol,
            **plan.protocol(EFFECTIVE[wildcards.preset], wildcards.protocol),
            **evaluation(wildcards, "batch_size"),
            threads=evaluation_threads(wildcards),
        ),


use rule sample as evaluate with:
    input:
        **reads("samples", "reference", "weights"),
    output:
        main=result("metrics"),
        features=result("features"),
    log:
        "logs/evaluate/{preset}/{dataset}/{model}/seed{seed}/{protocol}/T{temperature}.log",
    params:
        step="evaluate",
        flags=lambda wildcards: flags(**evaluation(wildcards, "batch_size"), threads=evaluation_threads(wildcards)),


# Quality against training time: the snapshots of the weights, and the final ones.
use rule sample as evaluate_snapshots with:
    input:
        **reads("model", "kept_weights", "training", "test", "reference", "weights"),
    output:
        main=result("snapshots"),
    log:
        "logs/evaluate_snapshots/{preset}/{dataset}/{model}/seed{seed}/{protocol}/T{temperature}.log",
    params:
        step="evaluate_snapshots",
        flags=lambda wildcards: flags(
            temperature=wildcards.temperature,
            likelihood_images=EFFECTIVE[wildcards.preset]["evaluation"]["snapshot_images"],
            **evaluation(wildcards, "batch_size"),
        ),


# Table 4: untrained networks are timed, so it needs data and no run. It takes every core it is given and, where there
# is one, the GPU: nothing else runs at the same time.
rule time_epoch:
    input:
        **reads("train", "val"),
    output:
        timing=result("timing"),
    log:
        "logs/time_epoch/{preset}/{dataset}.log",
    conda:
        "../../environment.yml"
    threads: timing_threads
    resources:
        gpu=gpus,
        device=DEVICE,
        memory=MEMORY,
    params:
        configs=lambda w: [
            json.dumps(or_exit(resolve, config, w.preset, w.dataset, model, EFFECTIVE[w.preset]["seeds"][0]))
            for model in plan.timed_models(EFFECTIVE, w.preset, w.dataset)
        ],
        timing=lambda wildcards: json.dumps(EFFECTIVE[wildcards.preset]["timing"]),
    shell:
        """
        python -m vaeglow.steps.time_epoch \
            --config {params.configs:q} \
            --data-dir resources/data/{wildcards.dataset} \
            --timing {params.timing:q} \
            --device {resources.device:q} \
            --memory {resources.memory:q} \
            --threads {threads} \
            --output {output.timing} \
            >{log} 2>&1
        """


# `make tune`: the same on the preset's main dataset, under each setting that this machine has. Its files are named by
# the device, so it has no output and always runs: config/tuned/{device}.yaml, an overlay, and .md, a report.
rule tune:
    input:
        ancient(multiext(f"resources/data/{MAIN}/", "dataset.json", "train.npy", "val.npy")),
    log:
        "logs/tune/tune.log",
    conda:
        "../../environment.yml"
    threads: timing_threads
    resources:
        gpu=gpus,
        device=DEVICE,
        memory=MEMORY,
    params:
        configs=lambda wildcards: main_configs(),
        data=lambda wildcards, input: os.path.dirname(input[0]),
        minutes=str(config["runtime"]["tune_minutes"]),
    shell:
        """
        python -m vaeglow.steps.tune \
            --config {params.configs[0]:q} \
            --other {params.configs[1]:q} \
            --data-dir {params.data} \
            --device {resources.device:q} \
            --memory {resources.memory:q} \
            --cores {threads} \
            --minutes {params.minutes} \
            --output-dir config/tuned \
            2>&1 | tee {log}
        """
