# Probes of trained models, for figures and claims; vaeglow/evaluation/probes declares inputs and result of each kind,
# `probes` in the config the counts and the temperature.


for kind, probe in PROBES.items():
    written = {"main": result(kind)} | ({"images": result("layer_images")} if kind == "layer_action" else {})

    rule:
        name:
            kind
        input:
            **reads(*probe.reads),
        output:
            **written,
        log:
            f"logs/{kind}/{RUN}{os.path.splitext(probe.result)[0].removeprefix(kind)}.log",
        priority: 10
        conda:
            "../../environment.yml"
        threads: run_threads
        resources:
            gpu=gpus,
            options=f"--device {DEVICE}",
        params:
            step=["probe", kind],
            inputs=lambda wildcards, input: flags(reads=[f"{k}={path}" for k, path in input.items() if k != "info"]),
            flags=probed(kind),
        shell:
            """
            python -m vaeglow.steps.{params.step:q} {params.inputs:q} {params.flags:q} {resources.options} \
                --output {output.main} >{log} 2>&1
            """
