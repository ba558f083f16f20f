# Probes of trained models, for figures and claims; a kind of probe is a module of vaeglow/evaluation/probes, which
# declares its inputs (`READS`) and the path of its result (`RESULT`).
# Counts and temperature are the preset's `probes` (config).


for kind in PROBES:
    name = "interpolate" if kind == "interpolation" else kind

    rule:
        name:
            name
        input:
            **reads(*probe(kind).READS),
        output:
            main=result(kind),
        log:
            f"logs/{name}/{RUN}{os.path.splitext(probe(kind).RESULT)[0].removeprefix(kind)}.log",
        conda:
            "../../environment.yml"
        threads: run_threads
        resources:
            gpu=gpus,
            device=DEVICE,
        params:
            step=["probe", kind],
            inputs=lambda wildcards, input: flags(reads=[f"{k}={path}" for k, path in input.items() if k != "info"]),
            flags=probed(kind),
        shell:
            """
            python -m vaeglow.steps.{params.step:q} {params.inputs:q} {params.flags:q} \
                --device {resources.device:q} \
                --output {output.main} \
                >{log} 2>&1
            """
