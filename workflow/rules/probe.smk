# Looking into trained models, for figures and claims.
#
#   model.safetensors, test.npy  ->  latents.json                  what z holds              (latents)
#   model.safetensors            ->  layer_draws.npz               latents, with f and without (layer_draws)
#   layer_draws.npz, test.npy    ->  layer_action.json             what f does to an image   (layer_action)
#   model.safetensors            ->  interpolation/{space}.npz     between random latents    (interpolate)
#   model.safetensors, test.npy  ->  noise_maps.npz                the decoder's s(z)        (noise_maps)
#   samples, train.npy, test.npy ->  nearest_training/T{temperature}.npz  are samples copies (nearest_training)
#
# Counts and temperature are the preset's `probes` (config). `layer_draws` takes models with a Glow layer, the others
# any model with a VAE.


rule latents:
    input:
        model="results/{preset}/{dataset}/{model}/seed{seed}/model.safetensors",
        info="resources/data/{dataset}/dataset.json",
        test=ancient("resources/data/{dataset}/test.npy"),
    output:
        summary="results/{preset}/{dataset}/{model}/seed{seed}/latents.json",
    log:
        "logs/latents/{preset}/{dataset}/{model}/seed{seed}.log",
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        device=DEVICE,
    params:
        images=lambda wildcards: EFFECTIVE[wildcards.preset]["probes"]["latents"]["images"],
        batch_size=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["batch_size"],
    shell:
        """
        python -m vaeglow.steps.latents \
            --model {input.model} \
            --data-dir resources/data/{wildcards.dataset} \
            --images {params.images:q} \
            --batch-size {params.batch_size:q} \
            --device {resources.device:q} \
            --output {output.summary} \
            >{log} 2>&1
        """


rule layer_draws:
    input:
        model="results/{preset}/{dataset}/{model}/seed{seed}/model.safetensors",
    output:
        draws="results/{preset}/{dataset}/{model}/seed{seed}/layer_draws.npz",
    log:
        "logs/layer_draws/{preset}/{dataset}/{model}/seed{seed}.log",
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        device=DEVICE,
    params:
        settings=lambda wildcards: EFFECTIVE[wildcards.preset]["probes"]["layer_draws"],
    shell:
        """
        python -m vaeglow.steps.layer_draws \
            --model {input.model} \
            --images {params.settings[images]:q} \
            --draws {params.settings[draws]:q} \
            --temperature {params.settings[temperature]:q} \
            --device {resources.device:q} \
            --output {output.draws} \
            >{log} 2>&1
        """


rule layer_action:
    input:
        draws="results/{preset}/{dataset}/{model}/seed{seed}/layer_draws.npz",
        info="resources/data/{dataset}/dataset.json",
        test=ancient("resources/data/{dataset}/test.npy"),
        weights="resources/weights/inception-2015-12-05.safetensors",
    output:
        summary="results/{preset}/{dataset}/{model}/seed{seed}/layer_action.json",
    log:
        "logs/layer_action/{preset}/{dataset}/{model}/seed{seed}.log",
    conda:
        "../../environment.yml"
    threads: evaluation_threads
    resources:
        gpu=gpus,
        device=DEVICE,
    params:
        features=lambda wildcards: EFFECTIVE[wildcards.preset]["probes"]["layer_action"]["features"],
        batch_size=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["batch_size"],
        torch_threads=lambda wildcards: EFFECTIVE[wildcards.preset]["training"]["threads"],
    shell:
        """
        python -m vaeglow.steps.layer_action \
            --layer-draws {input.draws} \
            --data-dir resources/data/{wildcards.dataset} \
            --weights {input.weights} \
            --features {params.features:q} \
            --batch-size {params.batch_size:q} \
            --device {resources.device:q} \
            --threads {params.torch_threads:q} \
            --output {output.summary} \
            >{log} 2>&1
        """


rule interpolate:
    input:
        model="results/{preset}/{dataset}/{model}/seed{seed}/model.safetensors",
    output:
        images="results/{preset}/{dataset}/{model}/seed{seed}/interpolation/{space}.npz",
    log:
        "logs/interpolate/{preset}/{dataset}/{model}/seed{seed}/{space}.log",
    wildcard_constraints:
        space="prior|latent",
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        device=DEVICE,
    params:
        settings=lambda wildcards: EFFECTIVE[wildcards.preset]["probes"]["interpolation"],
    shell:
        """
        python -m vaeglow.steps.interpolate \
            --model {input.model} \
            --space {wildcards.space} \
            --pairs {params.settings[pairs]:q} \
            --steps {params.settings[steps]:q} \
            --device {resources.device:q} \
            --output {output.images} \
            >{log} 2>&1
        """


rule noise_maps:
    input:
        model="results/{preset}/{dataset}/{model}/seed{seed}/model.safetensors",
        info="resources/data/{dataset}/dataset.json",
        test=ancient("resources/data/{dataset}/test.npy"),
    output:
        maps="results/{preset}/{dataset}/{model}/seed{seed}/noise_maps.npz",
    log:
        "logs/noise_maps/{preset}/{dataset}/{model}/seed{seed}.log",
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        device=DEVICE,
    params:
        settings=lambda wildcards: EFFECTIVE[wildcards.preset]["probes"]["noise_maps"],
        batch_size=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["batch_size"],
    shell:
        """
        python -m vaeglow.steps.noise_maps \
            --model {input.model} \
            --data-dir resources/data/{wildcards.dataset} \
            --shown {params.settings[shown]:q} \
            --images {params.settings[images]:q} \
            --batch-size {params.batch_size:q} \
            --device {resources.device:q} \
            --output {output.maps} \
            >{log} 2>&1
        """


# Memorisation: training images stream through Inception, in the run's own order and number (config.json).
rule nearest_training:
    input:
        samples="results/{preset}/{dataset}/{model}/seed{seed}/samples/T{temperature}.npz",
        config="results/{preset}/{dataset}/{model}/seed{seed}/config.json",
        info="resources/data/{dataset}/dataset.json",
        train=ancient("resources/data/{dataset}/train.npy"),
        test=ancient("resources/data/{dataset}/test.npy"),
        weights="resources/weights/inception-2015-12-05.safetensors",
    output:
        nearest="results/{preset}/{dataset}/{model}/seed{seed}/nearest_training/T{temperature}.npz",
    log:
        "logs/nearest_training/{preset}/{dataset}/{model}/seed{seed}/T{temperature}.log",
    conda:
        "../../environment.yml"
    threads: run_threads
    resources:
        gpu=gpus,
        device=DEVICE,
    params:
        settings=lambda wildcards: json.dumps(EFFECTIVE[wildcards.preset]["probes"]["nearest_training"]),
        batch_size=lambda wildcards: EFFECTIVE[wildcards.preset]["evaluation"]["batch_size"],
        torch_threads=lambda wildcards: EFFECTIVE[wildcards.preset]["training"]["threads"],
    shell:
        """
        python -m vaeglow.steps.nearest_training \
            --samples {input.samples} \
            --config {input.config} \
            --data-dir resources/data/{wildcards.dataset} \
            --weights {input.weights} \
            --settings {params.settings:q} \
            --batch-size {params.batch_size:q} \
            --device {resources.device:q} \
            --threads {params.torch_threads:q} \
            --output {output.nearest} \
            >{log} 2>&1
        """
