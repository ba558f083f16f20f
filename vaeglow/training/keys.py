"""The keys of the section `training` in config: how a model is trained, whatever its kind. No torch."""

from vaeglow.config.keys import choice, count, key, positive

TRAINING = {
    "epochs": count("passes over the training images"),
    "optimizer": choice("`adam` or `adamax`", "adam", "adamax"),
    "learning_rate": positive("at the start"),
    "betas": key(
        "the optimiser's two decay rates", type="array", items={"$ref": "#/$defs/fraction"}, minItems=2, maxItems=2
    ),
    "schedule": key(
        "of the learning rate: `constant`, `linear` (falls to zero at the run's end) or `{halve_every: 250}` (halved "
        "each 250 epochs, the paper's)",
        anyOf=[
            {"enum": ["constant", "linear"]},
            {"type": "object", "properties": {"halve_every": {"$ref": "#/$defs/count"}}},
        ],
    ),
    "warmup_epochs": key(
        "the learning rate rises linearly over this many epochs; 0: no warm-up", type="number", minimum=0
    ),
    "batch_size": count("images per step", minimum=2),
    "gradient_clip": positive("largest global norm of the gradient"),
    "max_bad_steps": count(
        "a step is bad if its loss or gradient is not finite, or by `max_rise`. A bad step is skipped and counted. "
        "After this many in a row the run returns to a good state, or stops with an error if no `rollbacks` are left"
    ),
    "max_rise": positive(
        "a step is also bad if its loss is more than this much above the mean of the last epoch (bits/dim; of "
        "`pixeliqn` its quantile loss)"
    ),
    "rollbacks": count(
        "how often a run may return to a good state and continue with a lower learning rate. Good states are kept "
        "after every hundredth of the run; the one that is used is at most two epochs or hundredths old. 0: never, "
        "and no good states are written",
        minimum=0,
    ),
    "rollback_factor": positive("the learning rate is multiplied by this number at each rollback", maximum=1),
    "validate_every": count(
        "number of epochs after which bits/dim on the val split are measured again; 0: never", minimum=0
    ),
    "kl_weight": key(
        "factor of the KL term in the training objective; 1 is the bound itself (section 3.4 tries a small factor). "
        "Reported bits/dim are the bound for every weight. With a frozen VAE the KL is constant, so the weight "
        "changes nothing; for a `vae_two_stage` and every kind without a VAE a value other than 1 is an error",
        type="number",
        minimum=0,
    ),
    "snapshots": key(
        "increasing fractions of the run, between 0 and 1: the weights after that part of its steps (rounded up) are "
        "kept in `snapshots.safetensors`, for quality against training time. `[]`: none",
        type="array",
        items={"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    ),
    "threads": count(
        "CPU threads inside torch; never taken from `--cores`. Snakemake reserves as many cores for the job, or all "
        "its cores if it has fewer"
    ),
    "precision": choice(
        "`float32`, or `bf16`: the coupling nets, the VAE's encoder and decoder, and the layers of `pixelcnn` and "
        "`pixeliqn` compute in bfloat16 (autocast) during training. Everything else stays in float32: the flows "
        "around them, log-determinants, losses, the prior and all of evaluation",
        "float32",
        "bf16",
    ),
    # `on` and `off` are YAML's true and false
    "compile": choice(
        "`on`: torch.compile for the same networks during training. `auto`: only on a GPU, because most runs on a CPU "
        "are too short to gain. `off`. If compilation fails, the run stops. Compilation counts as training time and is "
        "recorded in `training.json` (`compile_seconds`)",
        "auto",
        True,
        False,
    ),
    "devices": count(
        "number of processes that train one run, each on its own GPU (without GPUs they share the CPU). Each batch is "
        "cut into as many parts, so the number must divide `batch_size`. Noise and batch norm are those of the whole "
        "batch, so the losses are those of one process up to rounding. The step starts the processes like `torchrun`; "
        "on several nodes `torchrun` itself starts them ([docs/several-gpus.md](../docs/several-gpus.md))"
    ),
}
