# Evaluation: weights and prepared data -> samples, test bits per dimension, FID.
#
#   model.safetensors           ->  samples/T{temperature}.npz                 (sample; the first of them: shown/)
#   model.safetensors, test.npy ->  likelihood.json, likelihood.npz            (likelihood)
#   {split}.npy, Inception      ->  fid_reference/{protocol}.npz               (fid_reference)
#   train.npy, fid_reference    ->  floor/{protocol}.json                      (floor)
#   samples, fid_reference      ->  metrics/{protocol}/T{temperature}.json     (evaluate; bootstrap draws: .npz)
#   snapshots.safetensors, ...  ->  snapshots/{protocol}/T{temperature}.json   (evaluate_snapshots)
#
# A protocol (config) names split, image count, Inception features and sets of samples: an FID is keyed by all four.
# The reference file passes them to the steps that measure samples.
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


# The body of the rules below, each of which declares its inputs, outputs and flags; that in probe.smk is the same.
rule sample:
    input:
        **reads("model"),
    output:
        main=result("samples"),
        shown=result("shown"),
    log:
        "logs/sample/{preset}/{dataset}/{model}/seed{seed}/T{temperature}.log",
    priority: 10  # what is trained is measured before another is trained, and can be kept
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        options=f"--device {DEVICE}",
    params:
        step="sample",
        inputs=input_flags,
        flags=lambda w: flags(
            temperature=w.temperature,
            **plan.sample_counts(EFFECTIVE[w.preset], w.dataset, w.model, float(w.temperature)),
        ),
    shell:
        """
        python -m vaeglow.steps.{params.step:q} {params.inputs:q} {params.flags:q} {resources.options} \
            --output {output.main} >{log} 2>&1
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
        flags=lambda wildcards: flags(
            **evaluation(wildcards, "batch_size", "importance_images"),
            importance_samples=plan.importance_samples(
                EFFECTIVE[wildcards.preset], wildcards.dataset, wildcards.model
            ),
        ),


use rule sample as fid_reference with:
    input:
        **reads("weights", "info"),
        test=lambda wildcards: ancient(
            "resources/data/{}/{split}.npy".format(
                wildcards.dataset, **plan.protocol(EFFECTIVE[wildcards.preset], wildcards.protocol)
            )
        ),
        near_copies=near_copies,
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
        draws=result("draws"),
    log:
        "logs/evaluate/{preset}/{dataset}/{model}/seed{seed}/{protocol}/T{temperature}.log",
    threads: evaluation_threads
    params:
        step="evaluate",
        flags=lambda wildcards: flags(**evaluation(wildcards, "batch_size"), threads=evaluation_threads(wildcards)),


# How far each test image is from the nearest training image, for protocols that leave near copies out.
use rule sample as near_copies with:
    input:
        **reads("train", "test"),
    output:
        main=result("near_copies"),
    log:
        "logs/near_copies/{dataset}.log",
    priority: 100
    threads: evaluation_threads
    params:
        step="near_copies",
        flags=lambda wildcards, threads: flags(threads=threads),


# What a model that draws has to beat, for claims on samples.
use rule sample as floor with:
    input:
        **reads("train", "reference", "weights"),
    output:
        main=result("floor"),
    log:
        "logs/floor/{preset}/{dataset}/{protocol}.log",
    priority: 100
    threads: evaluation_threads
    params:
        step="floor",
        flags=lambda w: flags(preset=w.preset, **evaluation(w, "batch_size"), threads=evaluation_threads(w)),


# Quality against training time: the snapshots of the weights, and the final ones.
use rule sample as evaluate_snapshots with:
    input:
        **reads("model", "snapshots", "test", "reference", "weights"),
    output:
        main=result("snapshot_metrics"),
    log:
        "logs/evaluate_snapshots/{preset}/{dataset}/{model}/seed{seed}/{protocol}/T{temperature}.log",
    params:
        step="evaluate_snapshots",
        flags=lambda wildcards: flags(
            temperature=wildcards.temperature,
            likelihood_images=EFFECTIVE[wildcards.preset]["evaluation"]["snapshot_images"],
            **evaluation(wildcards, "batch_size"),
        ),


# Table 4: untrained networks are timed, so it needs data and no run. It reserves every core and, where there is one,
# the GPU: nothing else runs at the same time.
use rule sample as time_epoch with:
    input:
        **reads("train", "val"),
    output:
        main=result("timing"),
    log:
        "logs/time_epoch/{preset}/{dataset}.log",
    threads: timing_threads
    resources:
        gpu=gpus,
        options=lambda wildcards, threads: f"--device {DEVICE} --memory {MEMORY} --threads {threads}",
    params:
        step="time_epoch",
        flags=lambda w: flags(config=configs(w.preset, w.dataset), timing=json.dumps(EFFECTIVE[w.preset]["timing"])),


# `make tune`: Table 4's models under each setting of this machine, then all with the best. Beside its report is an
# overlay, config/tuned/{device}.yaml.
use rule time_epoch as tune with:
    input:
        **reads("train", "val", dataset=MAIN),
    output:
        main="config/tuned/report.md",
    log:
        "logs/tune/tune.log",
    params:
        step="tune",
        flags=lambda wildcards: flags(
            config=configs(PRESET, MAIN, [row["model"] for row in EFFECTIVE[PRESET]["tables"]["table4"]["rows"]]),
            other=configs(PRESET, MAIN, [m for d, m in plan.runs(config, EFFECTIVE[PRESET]) if d == MAIN]),
            minutes=config["runtime"]["tune_minutes"],
        ),
