# Evaluation: weights and prepared data -> samples, test bits per dimension, FID.
#
#   model.safetensors           ->  samples/T{temperature}.npz                 (sample)
#   model.safetensors, test.npy ->  likelihood.json, likelihood.npz            (likelihood)
#   {split}.npy, Inception      ->  fid_reference/{protocol}.npz               (fid_reference)
#   samples, fid_reference      ->  metrics/{protocol}/T{temperature}.json     (evaluate)
#
# A protocol (config) names split, image count and Inception features: an FID is keyed by all three.
# What the reference needs comes first (`priority`): too few test images, or no Inception weights, is
# said within seconds and not after the training.


rule inception_weights:
    output:
        weights="resources/weights/inception-2015-12-05.safetensors",
    log:
        "logs/inception_weights/inception-2015-12-05.log",
    priority: 100
    conda:
        "../../environment.yml"
    params:
        settings=json.dumps(EFFECTIVE[PRESET]["evaluation"]["inception"]),
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
    threads: evaluation_threads
    resources:
        gpu=GPU,
        device=DEVICE,
    params:
        protocol=lambda wildcards: EFFECTIVE[wildcards.preset]["protocols"][wildcards.protocol],
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
            --weights {input.weights} \
            --batch-size {params.batch_size:q} \
            --device {resources.device:q} \
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
    threads: run_threads
    resources:
        gpu=GPU,
        device=DEVICE,
    params:
        images=lambda wildcards: plan.sample_count(EFFECTIVE[wildcards.preset], wildcards.dataset),
    shell:
        """
        python -m vaeglow.steps.sample \
            --model {input.model} \
            --temperature {wildcards.temperature} \
            --count {params.images:q} \
            --device {resources.device:q} \
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
    threads: run_threads
    resources:
        gpu=GPU,
        device=DEVICE,
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
    log:
        "logs/evaluate/{preset}/{dataset}/{model}/seed{seed}/{protocol}/T{temperature}.log",
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=GPU,
        device=DEVICE,
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
            --threads {params.torch_threads:q} \
            --output {output.metrics} \
            >{log} 2>&1
        """
