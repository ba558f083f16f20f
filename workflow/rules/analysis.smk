# Analysis: what a Glow layer could do for a trained VAE, without training one (docs/squeeze.md).
#
#   model.safetensors of a VAE, {train,test}.npy  ->  linear_reference.json   (linear_reference)
#
# The residual is the VAE's own and, beside it, that of as many principal components of the training split.


rule linear_reference:
    input:
        model="results/{preset}/{dataset}/{model}/seed{seed}/model.safetensors",
        info="resources/data/{dataset}/dataset.json",
        train=ancient("resources/data/{dataset}/train.npy"),
        test=ancient("resources/data/{dataset}/test.npy"),
    output:
        references="results/{preset}/{dataset}/{model}/seed{seed}/linear_reference.json",
    log:
        "logs/linear_reference/{preset}/{dataset}/{model}/seed{seed}.log",
    wildcard_constraints:
        model=models_of("vae"),
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        device=DEVICE,
    params:
        images=lambda wildcards: EFFECTIVE[wildcards.preset]["probes"]["linear_reference"]["images"],
        batch_size=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["batch_size"],
    shell:
        """
        python -m vaeglow.steps.linear_reference \
            --model {input.model} \
            --data-dir resources/data/{wildcards.dataset} \
            --images {params.images:q} \
            --batch-size {params.batch_size:q} \
            --device {resources.device:q} \
            --output {output.references} \
            >{log} 2>&1
        """
