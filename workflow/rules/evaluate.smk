# Evaluation: weights and prepared data -> samples, test bits per dimension, FID.
#
#   model.safetensors           ->  samples/T{temperature}.npz                 (sample; the first of them: shown/)
#   model.safetensors, test.npy ->  likelihood.json, likelihood.npz            (likelihood)
#   train.npy, test.npy         ->  data/{dataset}_near_copies.npz             (near_copies)
#   {split}.npy, Inception      ->  fid_reference/{protocol}.npz               (fid_reference; `apart`: near copies, too)
#   train.npy, fid_reference    ->  floor/{protocol}.json                      (floor)
#   samples, fid_reference      ->  metrics/{protocol}/T{temperature}.json     (evaluate; bootstrap draws: .npz)
#   snapshots.safetensors, ...  ->  snapshots/{protocol}/T{temperature}.json   (evaluate_snapshots)
#
# A protocol (config) names split, image count, Inception features and sets of samples: an FID is keyed by all four.
# The reference file passes them to the steps that measure samples.
# What is trained is measured before another is trained, and can be kept (`priority: 10`). The reference comes first
# (100): too few images or missing weights are reported before the training.
# A step's words are in `params.flags` where the config decides them: a change of the config then runs the step again.

MAIN = VIEWS[PRESET]["roles"]["main"]  # the dataset in the paper's place


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
        settings=lambda wildcards: json.dumps(VIEWS[PRESET]["evaluation"]["inception"]),
    shell:
        """
        python -m vaeglow.steps.inception_weights \
            --settings {params.settings:q} \
            --output {output.weights} \
            >{log} 2>&1
        """


rule sample:
    input:
        model=result("model"),
    output:
        main=result("samples"),
        shown=result("shown"),
    log:
        "logs/sample/{preset}/{dataset}/{model}/seed{seed}/T{temperature}.log",
    priority: 10
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        options=f"--device {DEVICE}",
    params:
        step="sample",
        flags=lambda w: flags(
            temperature=w.temperature,
            **plan.sample_counts(VIEWS[w.preset], w.dataset, w.model, float(w.temperature)),
        ),
    shell:
        """
        python -m vaeglow.steps.{params.step} --model {input.model} {params.flags:q} {resources.options} \
            --output {output.main} >{log} 2>&1
        """


rule likelihood:
    input:
        model=result("model"),
        info="resources/data/{dataset}/dataset.json",
        test=ancient("resources/data/{dataset}/test.npy"),
    output:
        main=result("likelihood"),
        per_image=result("likelihood_images"),
    log:
        "logs/likelihood/{preset}/{dataset}/{model}/seed{seed}.log",
    priority: 10
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        options=f"--device {DEVICE}",
    params:
        step="likelihood",
        flags=lambda w: flags(
            batch_size=VIEWS[w.preset]["evaluation"]["batch_size"],
            importance_images=VIEWS[w.preset]["evaluation"]["importance_images"],
            importance_samples=plan.importance_samples(VIEWS[w.preset], w.dataset, w.model),
        ),
    shell:
        """
        python -m vaeglow.steps.{params.step} --model {input.model} --data-dir resources/data/{wildcards.dataset} \
            {params.flags:q} {resources.options} \
            --output {output.main} >{log} 2>&1
        """


rule fid_reference:
    input:
        weights=INCEPTION,
        info="resources/data/{dataset}/dataset.json",
        images=lambda w: ancient(
            f"resources/data/{w.dataset}/{plan.protocol(VIEWS[w.preset], w.protocol)['split']}.npy"
        ),
        near_copies=lambda w: (result("near_copies") if plan.protocol(VIEWS[w.preset], w.protocol).get("apart") else []),
    output:
        main=result("reference"),
    log:
        "logs/fid_reference/{preset}/{dataset}/{protocol}.log",
    priority: 100
    conda:
        "../../environment.yml"
    threads: preset_threads
    resources:
        gpu=gpus,
        options=f"--device {DEVICE}",
    params:
        step="fid_reference",
        flags=lambda w: flags(
            protocol=w.protocol,
            **plan.protocol(VIEWS[w.preset], w.protocol),
            batch_size=VIEWS[w.preset]["evaluation"]["batch_size"],
            threads=preset_threads(w),
        ),
    shell:
        """
        python -m vaeglow.steps.{params.step} --weights {input.weights} --near-copies {input.near_copies} \
            --data-dir resources/data/{wildcards.dataset} {params.flags:q} {resources.options} \
            --output {output.main} >{log} 2>&1
        """


rule evaluate:
    input:
        samples=result("samples"),
        reference=result("reference"),
        weights=INCEPTION,
    output:
        main=result("metrics"),
        draws=result("draws"),
    log:
        "logs/evaluate/{preset}/{dataset}/{model}/seed{seed}/{protocol}/T{temperature}.log",
    priority: 10
    conda:
        "../../environment.yml"
    threads: preset_threads
    resources:
        gpu=gpus,
        options=f"--device {DEVICE}",
    params:
        step="evaluate",
        flags=lambda w: flags(
            batch_size=VIEWS[w.preset]["evaluation"]["batch_size"],
            threads=preset_threads(w),
        ),
    shell:
        """
        python -m vaeglow.steps.{params.step} --samples {input.samples} --reference {input.reference} \
            --weights {input.weights} {params.flags:q} {resources.options} \
            --output {output.main} >{log} 2>&1
        """


# How far each test image is from the nearest training image, for protocols that leave near copies out.
rule near_copies:
    input:
        info="resources/data/{dataset}/dataset.json",
        train=ancient("resources/data/{dataset}/train.npy"),
        test=ancient("resources/data/{dataset}/test.npy"),
    output:
        main=result("near_copies"),
    log:
        "logs/near_copies/{dataset}.log",
    priority: 100
    conda:
        "../../environment.yml"
    threads: preset_threads
    resources:
        gpu=gpus,
        options=f"--device {DEVICE}",
    params:
        step="near_copies",
    shell:
        """
        python -m vaeglow.steps.{params.step} --data-dir resources/data/{wildcards.dataset} \
            --threads {threads} {resources.options} \
            --output {output.main} >{log} 2>&1
        """


# The FID and KID that samples of any useful model must be better than, for claims on samples.
rule floor:
    input:
        reference=result("reference"),
        info="resources/data/{dataset}/dataset.json",
        train=ancient("resources/data/{dataset}/train.npy"),
        weights=INCEPTION,
    output:
        main=result("floor"),
    log:
        "logs/floor/{preset}/{dataset}/{protocol}.log",
    priority: 100
    conda:
        "../../environment.yml"
    threads: preset_threads
    resources:
        gpu=gpus,
        options=f"--device {DEVICE}",
    params:
        step="floor",
        flags=lambda w: flags(
            preset=w.preset,
            batch_size=VIEWS[w.preset]["evaluation"]["batch_size"],
            threads=preset_threads(w),
        ),
    shell:
        """
        python -m vaeglow.steps.{params.step} --reference {input.reference} --weights {input.weights} \
            --data-dir resources/data/{wildcards.dataset} {params.flags:q} {resources.options} \
            --output {output.main} >{log} 2>&1
        """


# Quality against training time: the snapshots of the weights, and the final ones.
rule evaluate_snapshots:
    input:
        model=result("model"),
        snapshots=result("snapshots"),
        reference=result("reference"),
        info="resources/data/{dataset}/dataset.json",
        test=ancient("resources/data/{dataset}/test.npy"),
        weights=INCEPTION,
    output:
        main=result("snapshot_metrics"),
    log:
        "logs/evaluate_snapshots/{preset}/{dataset}/{model}/seed{seed}/{protocol}/T{temperature}.log",
    priority: 10
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        options=f"--device {DEVICE}",
    params:
        step="evaluate_snapshots",
        flags=lambda w: flags(
            temperature=w.temperature,
            likelihood_images=VIEWS[w.preset]["evaluation"]["snapshot_images"],
            batch_size=VIEWS[w.preset]["evaluation"]["batch_size"],
        ),
    shell:
        """
        python -m vaeglow.steps.{params.step} --model {input.model} --snapshots {input.snapshots} \
            --reference {input.reference} --weights {input.weights} --data-dir resources/data/{wildcards.dataset} \
            {params.flags:q} {resources.options} \
            --output {output.main} >{log} 2>&1
        """


# Table 4: untrained networks are timed, so it needs data and no run. It reserves every core and, where there is one,
# the GPU: nothing else runs at the same time. On a cluster it takes a run's cores.
rule time_epoch:
    input:
        info="resources/data/{dataset}/dataset.json",
        train=ancient("resources/data/{dataset}/train.npy"),
        val=ancient("resources/data/{dataset}/val.npy"),
    output:
        main=result("timing"),
    log:
        "logs/time_epoch/{preset}/{dataset}.log",
    priority: 10
    conda:
        "../../environment.yml"
    threads: lambda wildcards: preset_threads(wildcards) if on_cluster() else workflow.cores
    resources:
        gpu=gpus,
        options=lambda wildcards, threads: f"--device {DEVICE} --memory {MEMORY} --threads {threads}",
    params:
        step="time_epoch",
        flags=lambda w: flags(
            config=configs(w.preset, w.dataset, plan.timed_models(VIEWS[PRESET], w.preset, w.dataset)),
            timing=json.dumps(VIEWS[w.preset]["timing"]),
        ),
    shell:
        """
        python -m vaeglow.steps.{params.step} --data-dir resources/data/{wildcards.dataset} \
            {params.flags:q} {resources.options} \
            --output {output.main} >{log} 2>&1
        """


# `make tune`: Table 4's models under each setting of this machine. Beside its report is an overlay,
# config/tuned/{device}.yaml.
rule tune:
    input:
        info=f"resources/data/{MAIN}/dataset.json",
        train=ancient(f"resources/data/{MAIN}/train.npy"),
        val=ancient(f"resources/data/{MAIN}/val.npy"),
    output:
        main="config/tuned/report.md",
    log:
        "logs/tune/tune.log",
    priority: 10
    conda:
        "../../environment.yml"
    threads: lambda wildcards: preset_threads(wildcards) if on_cluster() else workflow.cores
    resources:
        gpu=gpus,
        options=lambda wildcards, threads: f"--device {DEVICE} --memory {MEMORY} --threads {threads}",
    params:
        step="tune",
        data=lambda wildcards, input: os.path.dirname(input.info),
        flags=lambda wildcards: flags(
            config=configs(
                PRESET,
                MAIN,
                [row["model"] for row in view_of({**config, "only": None}, PRESET)["tables"]["table4"]["rows"]],
            ),
            minutes=config["runtime"]["tune_minutes"],
        ),
    shell:
        """
        python -m vaeglow.steps.{params.step} --data-dir {params.data} {params.flags:q} {resources.options} \
            --output {output.main} >{log} 2>&1
        """
