# Functions for the paths, inputs and flags of rules.


def result(what):
    """The path of one kind of result, with its wildcards."""
    return f"results/{RESULTS[what]}"


def reads(*names, dataset="{dataset}"):
    """Inputs by name: kinds of results, `info` of the data and its splits, `weights` for Inception's."""
    others = {"weights": INCEPTION, "info": f"resources/data/{dataset}/dataset.json"}
    found = {name: result(name) for name in names if name in RESULTS}
    for split in [name for name in names if name in ("train", "val", "test")]:
        found |= {"info": others["info"], split: ancient(f"resources/data/{dataset}/{split}.npy")}
    return found | {name: path for name, path in others.items() if name in names}


def flags(**values):
    """A step's flags as a list of words; a list is several words after its flag."""
    words = []
    for name, value in values.items():
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return words


def source_settings(wildcards):
    """A dataset's entry without what belongs to a run; until the data are prepared, what it names has to be there."""
    entry = config["datasets"][wildcards.dataset]
    for path in filter(None, map(entry.get, ("root", "file", "local"))):
        if not (Path(path).expanduser().exists() or Path(f"resources/data/{wildcards.dataset}/dataset.json").exists()):
            sys.exit(f"error: dataset {wildcards.dataset}: {path} is not there: make it, or correct the path")
    return json.dumps({key: value for key, value in entry.items() if key not in ("train_subset", "models")})


def reported(path, section, form):
    """A file of the report, under its title; what is called an ablation is in a section of its own."""
    kind = section.removesuffix("s")

    def title(wildcards):
        return config[section].get(wildcards.get(kind), {"title": "The paper's claims, and what we measured"})["title"]

    return report(
        path,
        caption=f"../report/{kind}.rst",
        category=lambda w: "Ablations" if title(w).startswith("Ablation") else section.capitalize(),
        labels=lambda wildcards: {"result": title(wildcards), "as": form},
    )


def input_flags(wildcards, input):
    """A flag for each input of a rule, and one for the folder of its data."""
    named = {name: path for name, path in input.items() if name not in ("info", "train", "val", "test")}
    return flags(**named, **({"data_dir": os.path.dirname(input.info)} if "info" in input.keys() else {}))


def near_copies(wildcards):
    """The distances that a protocol with `apart` needs."""
    apart = plan.protocol(EFFECTIVE[wildcards.preset], wildcards.protocol).get("apart")
    return result("near_copies") if apart else []


def evaluation(wildcards, *keys):
    """Values of a preset's `evaluation` by key."""
    return {key: EFFECTIVE[wildcards.preset]["evaluation"][key] for key in keys}


def probed(kind):
    """The flag with a probe's settings: its entry in the preset's `probes`, the batch size, and its space if any."""

    def settings(wildcards):
        entry = {**EFFECTIVE[wildcards.preset]["probes"][kind], **evaluation(wildcards, "batch_size")}
        own = {key: wildcards[key] for key in ("space", "temperature") if key in wildcards.keys()}
        return flags(settings=json.dumps(entry | own))

    return settings
