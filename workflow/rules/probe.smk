# Looking into trained models, for figures and claims; a kind of probe is a module of vaeglow/evaluation/probes, which
# says what it reads (`READS`), where its result lies (`RESULT`) and of which kinds of model there is one (`MODELS`).
#
#   model.safetensors, test.npy  ->  latents.json                  what z holds              (latents)
#   model.safetensors            ->  layer_draws.npz               latents, with f and without (layer_draws)
#   layer_draws.npz, test.npy    ->  layer_action.json             what f does to an image   (layer_action)
#   model.safetensors            ->  interpolation/{space}.npz     between random latents    (interpolate)
#   model.safetensors, test.npy  ->  noise_maps.npz                the decoder's s(z)        (noise_maps)
#   model.safetensors of a VAE, {train,test}.npy  ->  linear_reference.json   what a linear layer could do for it,
#       and for as many principal components (linear_reference; docs/squeeze.md)
#   samples, train.npy, test.npy ->  nearest_training/T{temperature}.npz  are samples copies (nearest_training)
#
# Counts and temperature are the preset's `probes` (config).


for kind in PROBES:

    rule:
        name:
            rule_of(kind)
        input:
            **reads(*probe(kind).READS),
        output:
            main=result(kind),
        log:
            probe_log(kind),
        wildcard_constraints:
            model=models_of(*getattr(probe(kind), "MODELS", ())),
        conda:
            "../../environment.yml"
        threads: run_threads
        resources:
            gpu=gpus,
            device=DEVICE,
        params:
            step=["probe", kind],
            inputs=read_flags,
            flags=probed(kind),
        shell:
            """
            python -m vaeglow.steps.{params.step:q} {params.inputs:q} {params.flags:q} \
                --device {resources.device:q} \
                --output {output.main} \
                >{log} 2>&1
            """
