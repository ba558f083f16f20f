# Looking into trained models, for figures and claims; a kind of probe is a module of vaeglow/evaluation/probes.
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
# Counts and temperature are the preset's `probes` (config). `layer_draws` takes models with a Glow layer, the others
# any model with a VAE, `nearest_training` any model.


use rule sample as latents with:
    input:
        **reads(*probe("latents").READS),
    output:
        main=result("latents"),
    log:
        "logs/latents/{preset}/{dataset}/{model}/seed{seed}.log",
    params:
        step=["probe", "latents"],
        inputs=read_flags,
        flags=probed("latents"),


use rule latents as layer_draws with:
    input:
        **reads(*probe("layer_draws").READS),
    output:
        main=result("layer_draws"),
    log:
        "logs/layer_draws/{preset}/{dataset}/{model}/seed{seed}.log",
    params:
        step=["probe", "layer_draws"],
        flags=probed("layer_draws"),


use rule latents as layer_action with:
    input:
        **reads(*probe("layer_action").READS),
    output:
        main=result("layer_action"),
    log:
        "logs/layer_action/{preset}/{dataset}/{model}/seed{seed}.log",
    params:
        step=["probe", "layer_action"],
        flags=probed("layer_action"),


use rule latents as interpolate with:
    input:
        **reads(*probe("interpolation").READS),
    output:
        main=result("interpolation"),
    log:
        "logs/interpolate/{preset}/{dataset}/{model}/seed{seed}/{space}.log",
    params:
        step=["probe", "interpolation"],
        flags=probed("interpolation", "space"),


use rule latents as noise_maps with:
    input:
        **reads(*probe("noise_maps").READS),
    output:
        main=result("noise_maps"),
    log:
        "logs/noise_maps/{preset}/{dataset}/{model}/seed{seed}.log",
    params:
        step=["probe", "noise_maps"],
        flags=probed("noise_maps"),


use rule latents as linear_reference with:
    input:
        **reads(*probe("linear_reference").READS),
    output:
        main=result("linear_reference"),
    log:
        "logs/linear_reference/{preset}/{dataset}/{model}/seed{seed}.log",
    wildcard_constraints:
        model=models_of("linear_reference"),
    params:
        step=["probe", "linear_reference"],
        flags=probed("linear_reference"),


use rule latents as nearest_training with:
    input:
        **reads(*probe("nearest_training").READS),
    output:
        main=result("nearest_training"),
    log:
        "logs/nearest_training/{preset}/{dataset}/{model}/seed{seed}/T{temperature}.log",
    params:
        step=["probe", "nearest_training"],
        flags=probed("nearest_training"),
