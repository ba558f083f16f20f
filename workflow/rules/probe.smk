# Probes of trained models, for figures and claims; vaeglow/evaluation/probes declares inputs and result of each kind,
# `probes` in the config the counts and the temperature.


for kind, probe in kinds_of("probes").items():
    written = {"main": result(kind)} | ({"images": result("layer_images")} if kind == "layer_action" else {})

    rule:
        name:
            kind
        input:
            **{n: ancient(path) if path.endswith(".npy") else path for n, path in targets.probe_inputs(probe).items()},
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
            flags=lambda w, kind=kind: flags(
                settings=json.dumps(
                    {
                        **VIEWS[w.preset]["probes"][kind],
                        "batch_size": VIEWS[w.preset]["evaluation"]["batch_size"],
                        **{key: w[key] for key in ("space", "temperature") if key in w.keys()},
                    }
                )
            ),
        shell:
            """
            python -m vaeglow.steps.{params.step:q} {params.inputs:q} {params.flags:q} {resources.options} \
                --output {output.main} >{log} 2>&1
            """
