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
# said within seconds and not after the training.


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


rule fid_reference:
    input:
        info="resources/data/{dataset}/dataset.json",
        arrays=lambda wildcards: ancient(
            "resources/data/{dataset}/{split}.npy".format(
                dataset=wildcards.dataset,
                split=EFFECTIVE[wildcards.preset]["protocols"][wildcards.protocol]["split"],
            )
        ),
        weights="resources/weights/inception-2015-12-05.safetensors",
    output:
        reference="results/{preset}/{dataset}/fid_reference/{protocol}.npz",
    log:
        "logs/fid_reference/{preset}/{dataset}/{protocol}.log",
    priority: 100
    conda:
        "../../environment.yml"
    threads: evaluation_processes(evaluation_threads)
    resources:
        gpu=evaluation_processes(gpus),
        device=DEVICE,
        devices=EVALUATION_DEVICES,
    params:
        protocol=lambda wildcards: plan.protocol(EFFECTIVE, wildcards.preset, wildcards.protocol),
        stretch=lambda wildcards: plan.stretch_flag(EFFECTIVE, wildcards.preset, wildcards.protocol),
        batch_size=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["batch_size"],
        torch_threads=lambda wildcards: EFFECTIVE[wildcards.preset]["training"]["threads"],
    shell:
        """
        python -m vaeglow.steps.fid_reference \
            --data-dir resources/data/{wildcards.dataset} \
            --protocol {wildcards.protocol} \
            --split {params.protocol[split]:q} \
            --images {params.protocol[images]:q} \
            --features {params.protocol[features]:q} \
            --sets {params.protocol[sets]:q} \
            {params.stretch} \
            --weights {input.weights} \
            --batch-size {params.batch_size:q} \
            --device {resources.device:q} \
            --devices {resources.devices:q} \
            --threads {params.torch_threads:q} \
            --output {output.reference} \
            >{log} 2>&1
        """


rule sample:
    input:
        model="results/{preset}/{dataset}/{model}/seed{seed}/model.safetensors",
    output:
        samples="results/{preset}/{dataset}/{model}/seed{seed}/samples/T{temperature}.npz",
    log:
        "logs/sample/{preset}/{dataset}/{model}/seed{seed}/T{temperature}.log",
    conda:
        "../../environment.yml"
    threads: evaluation_processes(run_threads)
    resources:
        gpu=evaluation_processes(gpus),
        device=DEVICE,
        devices=EVALUATION_DEVICES,
    params:
        images=lambda wildcards: SAMPLES[wildcards.preset][wildcards.dataset],
    shell:
        """
        python -m vaeglow.steps.sample \
            --model {input.model} \
            --temperature {wildcards.temperature} \
            --count {params.images:q} \
            --device {resources.device:q} \
            --devices {resources.devices:q} \
            --output {output.samples} \
            >{log} 2>&1
        """


rule likelihood:
    input:
        model="results/{preset}/{dataset}/{model}/seed{seed}/model.safetensors",
        info="resources/data/{dataset}/dataset.json",
        test=ancient("resources/data/{dataset}/test.npy"),
    output:
        summary="results/{preset}/{dataset}/{model}/seed{seed}/likelihood.json",
        per_image="results/{preset}/{dataset}/{model}/seed{seed}/likelihood.npz",
    log:
        "logs/likelihood/{preset}/{dataset}/{model}/seed{seed}.log",
    conda:
        "../../environment.yml"
    threads: evaluation_processes(run_threads)
    resources:
        gpu=evaluation_processes(gpus),
        device=DEVICE,
        devices=EVALUATION_DEVICES,
    params:
        batch_size=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["batch_size"],
        importance_samples=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["importance_samples"],
        importance_images=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["importance_images"],
    shell:
        """
        python -m vaeglow.steps.likelihood \
            --model {input.model} \
            --data-dir resources/data/{wildcards.dataset} \
            --batch-size {params.batch_size:q} \
            --importance-samples {params.importance_samples:q} \
            --importance-images {params.importance_images:q} \
            --device {resources.device:q} \
            --devices {resources.devices:q} \
            --output {output.summary} \
            --per-image {output.per_image} \
            >{log} 2>&1
        """


rule evaluate:
    input:
        samples="results/{preset}/{dataset}/{model}/seed{seed}/samples/T{temperature}.npz",
        reference="results/{preset}/{dataset}/fid_reference/{protocol}.npz",
        weights="resources/weights/inception-2015-12-05.safetensors",
    output:
        metrics="results/{preset}/{dataset}/{model}/seed{seed}/metrics/{protocol}/T{temperature}.json",
        features="results/{preset}/{dataset}/{model}/seed{seed}/metrics/{protocol}/T{temperature}.npz",
    log:
        "logs/evaluate/{preset}/{dataset}/{model}/seed{seed}/{protocol}/T{temperature}.log",
    conda:
        "../../environment.yml"
    threads: evaluation_processes(run_threads)
    resources:
        gpu=evaluation_processes(gpus),
        device=DEVICE,
        devices=EVALUATION_DEVICES,
    params:
        batch_size=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["batch_size"],
        torch_threads=lambda wildcards: EFFECTIVE[wildcards.preset]["training"]["threads"],
    shell:
        """
        python -m vaeglow.steps.evaluate \
            --samples {input.samples} \
            --reference {input.reference} \
            --weights {input.weights} \
            --batch-size {params.batch_size:q} \
            --device {resources.device:q} \
            --devices {resources.devices:q} \
            --threads {params.torch_threads:q} \
            --output {output.metrics} \
            --features-output {output.features} \
            >{log} 2>&1
        """


# Quality against training time: the weights that training kept on the way, and the finished ones.
rule evaluate_snapshots:
    input:
        model="results/{preset}/{dataset}/{model}/seed{seed}/model.safetensors",
        snapshots="results/{preset}/{dataset}/{model}/seed{seed}/snapshots.safetensors",
        training="results/{preset}/{dataset}/{model}/seed{seed}/training.json",
        info="resources/data/{dataset}/dataset.json",
        test=ancient("resources/data/{dataset}/test.npy"),
        reference="results/{preset}/{dataset}/fid_reference/{protocol}.npz",
        weights="resources/weights/inception-2015-12-05.safetensors",
    output:
        points="results/{preset}/{dataset}/{model}/seed{seed}/snapshots/{protocol}/T{temperature}.json",
    log:
        "logs/evaluate_snapshots/{preset}/{dataset}/{model}/seed{seed}/{protocol}/T{temperature}.log",
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        device=DEVICE,
    params:
        batch_size=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["batch_size"],
        likelihood_images=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["snapshot_images"],
        torch_threads=lambda wildcards: EFFECTIVE[wildcards.preset]["training"]["threads"],
    shell:
        """
        python -m vaeglow.steps.evaluate_snapshots \
            --model {input.model} \
            --snapshots {input.snapshots} \
            --training {input.training} \
            --data-dir resources/data/{wildcards.dataset} \
            --reference {input.reference} \
            --weights {input.weights} \
            --temperature {wildcards.temperature} \
            --batch-size {params.batch_size:q} \
            --likelihood-images {params.likelihood_images:q} \
            --device {resources.device:q} \
            --threads {params.torch_threads:q} \
            --output {output.points} \
            >{log} 2>&1
        """


# Table 4: untrained networks are timed, in turns, so it needs data and no run. It takes every core it is given and,
# where there is one, the GPU: nothing else of the workflow runs beside it.
rule time_epoch:
    input:
        info="resources/data/{dataset}/dataset.json",
        train=ancient("resources/data/{dataset}/train.npy"),
        val=ancient("resources/data/{dataset}/val.npy"),
    output:
        timing="results/{preset}/{dataset}/timing.json",
    log:
        "logs/time_epoch/{preset}/{dataset}.log",
    conda:
        "../../environment.yml"
    threads: timing_threads
    resources:
        gpu=gpus,
        device=DEVICE,
    params:
        configs=lambda wildcards: [json.dumps(one) for one in timed_configs(wildcards)],
        timing=lambda wildcards: json.dumps(EFFECTIVE[wildcards.preset]["timing"]),
    shell:
        """
        python -m vaeglow.steps.time_epoch \
            --config {params.configs:q} \
            --data-dir resources/data/{wildcards.dataset} \
            --timing {params.timing:q} \
            --device {resources.device:q} \
            --threads {threads} \
            --output {output.timing} \
            >{log} 2>&1
        """
