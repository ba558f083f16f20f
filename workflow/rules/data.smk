# Data: any source -> uint8 arrays [N, C, H, W], the one format all later rules read.
#
#   config datasets.{dataset}  ->  resources/data/{dataset}/{train,val,test}.npy, dataset.json
#
#   resources/data/{dataset}  ->  results/data/{dataset}.json, .png   (inspect_data: what is in it, for the report)
#
# Preset-free: a preset's `train_subset` is applied by the training step. dataset.json holds the arrays' hashes, so it
# stands for them: later rules compare it by content and the large arrays only by existence (`ancient`).


# On a cluster this runs where Snakemake runs: nodes often have no network.
localrules:
    prepare_data,
    inspect_data,


rule prepare_data:
    output:
        train="resources/data/{dataset}/train.npy",
        val="resources/data/{dataset}/val.npy",
        test="resources/data/{dataset}/test.npy",
        info="resources/data/{dataset}/dataset.json",
    log:
        "logs/prepare_data/{dataset}.log",
    conda:
        "../../environment.yml"
    threads: lambda wildcards: getattr(kinds("datasets")[config["datasets"][wildcards.dataset]["kind"]], "THREADS", 1)
    params:
        # all but what belongs to a run
        settings=lambda wildcards: json.dumps(
            {k: v for k, v in config["datasets"][wildcards.dataset].items() if k not in ("train_subset", "models")}
        ),
    shell:
        """
        python -m vaeglow.steps.prepare_data \
            --name {wildcards.dataset} \
            --settings {params.settings:q} \
            --output-dir resources/data/{wildcards.dataset} \
            --threads {threads} \
            >{log} 2>&1
        """


rule inspect_data:
    input:
        **reads("train", "val", "test"),
    output:
        json=result("inspection"),
        png=report(
            result("data_page"),
            caption="../report/data.rst",
            category="Data",
            labels={"dataset": "{dataset}"},
        ),
    log:
        "logs/inspect_data/{dataset}.log",
    conda:
        "../../environment.yml"
    shell:
        """
        python -m vaeglow.steps.inspect_data \
            --data-dir resources/data/{wildcards.dataset} \
            --json {output.json} \
            --output {output.png} \
            >{log} 2>&1
        """
