# Data: any source -> uint8 arrays [N, C, H, W], the one format all later rules read.
#
#   config datasets.{dataset}  ->  resources/data/{dataset}/{train,val,test}.npy, dataset.json
#
#   resources/data/{dataset}  ->  results/data/{dataset}.json, .png   (inspect_data: what is in it, for the report)
#
# Preset-free: a preset's `train_subset` is applied by the training step. dataset.json holds the arrays' hashes, so it
# represents them: later rules compare it by content and the large arrays only by existence (`ancient`).


rule prepare_data:
    output:
        train="resources/data/{dataset}/train.npy",
        val="resources/data/{dataset}/val.npy",
        test="resources/data/{dataset}/test.npy",
        info="resources/data/{dataset}/dataset.json",
    log:
        "logs/prepare_data/{dataset}.log",
    localrule: True
    conda:
        "../../environment.yml"
    threads: lambda wildcards: getattr(kinds_of("datasets")[config["datasets"][wildcards.dataset]["kind"]], "THREADS", 1)
    params:
        settings=lambda wildcards: json.dumps(or_exit(targets.source_settings, config, wildcards.dataset)),
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
        info="resources/data/{dataset}/dataset.json",
        train=ancient("resources/data/{dataset}/train.npy"),
        val=ancient("resources/data/{dataset}/val.npy"),
        test=ancient("resources/data/{dataset}/test.npy"),
    output:
        result("inspection"),
        report(
            result("data_page"),
            caption="../report/data.rst",
            category="Data",
            labels={"dataset": "{dataset}"},
        ),
    log:
        "logs/inspect_data/{dataset}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        step="inspect_data",
    shell:
        """
        python -m vaeglow.steps.{params.step} \
            --data-dir resources/data/{wildcards.dataset} \
            --output {output} \
            >{log} 2>&1
        """
