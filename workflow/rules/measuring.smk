# What the rules in evaluate.smk and probe.smk say of themselves: paths, inputs and a step's flags, as functions.


def result(what):
    """The path of one kind of result, with its wildcards."""
    return f"results/{RESULTS[what]}"


def reads(*names):
    """Inputs by name: kinds of results, splits of the data, `weights` for Inception's."""
    found = {name: result(name) for name in names if name in RESULTS}
    for split in [name for name in names if name in ("train", "test")]:
        found |= {"info": "resources/data/{dataset}/dataset.json"}
        found |= {split: ancient(f"resources/data/{{dataset}}/{split}.npy")}
    return found | ({"weights": "resources/weights/inception-2015-12-05.safetensors"} if "weights" in names else {})


def flags(**values):
    """A step's flags as a list of words; True is a flag without a value, False none."""
    words = []
    for name, value in values.items():
        several = value if isinstance(value, list) else [] if value is True else [value]
        words += [] if value is False else [f"--{name.replace('_', '-')}", *map(str, several)]
    return words


def input_flags(wildcards, input):
    """A flag for each input of a rule, and one for the folder of its data."""
    named = {name: path for name, path in input.items() if name not in ("info", "train", "test")}
    return flags(**named, **({"data_dir": os.path.dirname(input.info)} if "info" in input.keys() else {}))


def evaluation(wildcards, *keys):
    """Values of a preset's `evaluation` by key."""
    return {key: EFFECTIVE[wildcards.preset]["evaluation"][key] for key in keys}


def probed(name, *names):
    """The flag with a probe's settings: its entry in the preset's `probes`, the batch size, and wildcards by name."""

    def told(wildcards):
        entry = {**EFFECTIVE[wildcards.preset]["probes"][name], **evaluation(wildcards, "batch_size")}
        return flags(settings=json.dumps(entry | {key: wildcards[key] for key in names}))

    return told


def read_flags(wildcards, input):
    """What a probe reads, by name."""
    return flags(reads=[f"{name}={path}" for name, path in input.items() if name != "info"])
