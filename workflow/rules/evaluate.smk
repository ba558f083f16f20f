# Evaluation: weights and prepared data -> samples, test bits per dimension, FID.
#
#   model.safetensors           ->  samples/T{temperature}.npz                 (sample)
#   model.safetensors, test.npy ->  likelihood.json, likelihood.npz            (likelihood)
#   {split}.npy, Inception      ->  fid_reference/{protocol}.npz               (fid_reference)
#   samples, fid_reference      ->  metrics/{protocol}/T{temperature}.json     (evaluate; the samples' features: .npz)
#   snapshots.safetensors, ...  ->  snapshots/{protocol}/T{temperature}.json   (evaluate_snapshots)
#
# A protocol (config) names split, image count, Inception features, sets of samples and whether they are stretched: an
# FID is keyed by all five. The reference file carries them to whatever measures samples.
# What the reference needs comes first (`priority`): too few test images, or no Inception weights, is
# said within seconds and not after the training. A job takes one GPU; Snakemake runs jobs side by side.


# On a cluster this runs where Snakemake runs: nodes often have no network.
localrules:
    inception_weights,


rule inception_weights:
    output:
        weights="resources/weights/inception-2015-12-05.safetensors",
    log:
        "logs/inception_weights/inception-2015-12-05.log",
    priority: 100
    conda:
        "../../environment.yml"
    params:
        # a function: in a plain string Snakemake would look for wildcards, and a path may hold braces
        settings=lambda wildcards: json.dumps(EFFECTIVE[PRESET]["evaluation"]["inception"]),
    shell:
        """
        python -m vaeglow.steps.inception_weights \
            --settings {params.settings:q} \
            --output {output.weights} \
            >{log} 2>&1
        """


def result(what):
    """The path of one kind of result, with its wildcards."""
    return f"results/{RESULTS[what]}"


def reads(*names):
    """The inputs of a rule by name: kinds of results, splits of the data, `weights` for Inception's."""
    found = {name: result(name) for name in names if name in RESULTS}
    for split in [name for name in names if name in ("train", "test")]:
        found |= {"info": "resources/data/{dataset}/dataset.json"}
        found |= {split: ancient(f"resources/data/{{dataset}}/{split}.npy")}
    return found | ({"weights": "resources/weights/inception-2015-12-05.safetensors"} if "weights" in names else {})


def flags(**values):
    """A step's flags as words of a shell; True is a flag without a value, False none."""
    words = []
    for name, value in values.items():
        several = value if isinstance(value, list) else [] if value is True else [value]
        words += [] if value is False else [f"--{name.replace('_', '-')}", *map(str, several)]
    return shlex.join(words)


def input_flags(wildcards, input):
    """A flag for each input of a rule, and one for the folder of its data."""
    named = {name: path for name, path in input.items() if name not in ("info", "train", "test")}
    return flags(**named, **({"data_dir": os.path.dirname(input.info)} if "info" in input.keys() else {}))


def evaluation(wildcards, *keys):
    """Values of a preset's `evaluation` by key."""
    return {key: EFFECTIVE[wildcards.preset]["evaluation"][key] for key in keys}


# The body of all rules that measure a run, here and in probe.smk; each says what it reads, makes and is told.
rule sample:
    input:
        **reads("model"),
    output:
        samples=result("samples"),
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
        python -m vaeglow.steps.{params.step} {params.inputs} {params.flags} \
            --device {resources.device:q} \
            --output {output[0]} \
            >{log} 2>&1
        """


use rule sample as likelihood with:
    input:
        **reads("model", "test"),
    output:
        summary=result("likelihood"),
        per_image=result("likelihood_images"),
    log:
        "logs/likelihood/{preset}/{dataset}/{model}/seed{seed}.log",
    params:
        step="likelihood",
        flags=lambda wildcards: flags(**evaluation(wildcards, "batch_size", "importance_samples", "importance_images")),


use rule sample as fid_reference with:
    input:
        **reads("weights"),
        info="resources/data/{dataset}/dataset.json",
        test=lambda wildcards: ancient(
            "resources/data/{dataset}/{split}.npy".format(
                dataset=wildcards.dataset,
                split=EFFECTIVE[wildcards.preset]["protocols"][wildcards.protocol]["split"],
            )
        ),
    output:
        reference=result("reference"),
    log:
        "logs/fid_reference/{preset}/{dataset}/{protocol}.log",
    priority: 100
    threads: evaluation_threads
    params:
        step="fid_reference",
        flags=lambda wildcards: flags(
            protocol=wildcards.protocol,
            **plan.protocol(EFFECTIVE, wildcards.preset, wildcards.protocol),
            **evaluation(wildcards, "batch_size"),
            threads=evaluation_threads(wildcards),
        ),


use rule sample as evaluate with:
    input:
        **reads("samples", "reference", "weights"),
    output:
        metrics=result("metrics"),
        features=result("features"),
    log:
        "logs/evaluate/{preset}/{dataset}/{model}/seed{seed}/{protocol}/T{temperature}.log",
    params:
        step="evaluate",
        flags=lambda wildcards: flags(**evaluation(wildcards, "batch_size"), threads=evaluation_threads(wildcards)),


# Quality against training time: the weights that training kept on the way, and the finished ones.
use rule sample as evaluate_snapshots with:
    input:
        **reads("model", "kept_weights", "training", "test", "reference", "weights"),
    output:
        points=result("snapshots"),
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
# is one, the GPU: nothing else runs beside it.
rule time_epoch:
    input:
        info="resources/data/{dataset}/dataset.json",
        train=ancient("resources/data/{dataset}/train.npy"),
        val=ancient("resources/data/{dataset}/val.npy"),
    output:
        timing="results/{preset}/{dataset}/{model}/timing.json",
    log:
        "logs/time_epoch/{preset}/{dataset}/{model}.log",
    conda:
        "../../environment.yml"
    threads: timing_threads
    resources:
        gpu=gpus,
        device=DEVICE,
    params:
        config=lambda wildcards: json.dumps(first_config(wildcards)),
        timing=lambda wildcards: json.dumps(EFFECTIVE[wildcards.preset]["timing"]),
    shell:
        """
        python -m vaeglow.steps.time_epoch \
            --config {params.config:q} \
            --data-dir resources/data/{wildcards.dataset} \
            --timing {params.timing:q} \
            --device {resources.device:q} \
            --threads {threads} \
            --output {output.timing} \
            >{log} 2>&1
        """
