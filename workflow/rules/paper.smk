# The paper's tables and figures: measured files, samples and published numbers -> results/{preset} -> results/.
#
#   metrics, likelihood.json, training.json of each row and seed, resources/published.csv
#       ->  results/{preset}/tables/{table}.csv, .md     (table: any preset)
#       ->  results/{table}.csv, .md                     (publish: the configured preset's, by copy)
#   samples of each row, first seed; {split}.npy
#       ->  results/{preset}/figures/{figure}.png, .pdf  (the rule named after the figure's `kind`: any preset)
#       ->  results/{figure}.png, .pdf                   (publish_figure: the configured preset's, by copy)
#
# A table or figure is an entry of `tables` or `figures` in config. Figures read arrays and JSON, never a model; they
# are drawn again when the style module changes.


localrules:
    publish,
    publish_figure,


rule table:
    input:
        metrics=lambda wildcards: plan.table_files(
            EFFECTIVE,
            wildcards,
            "results/{preset}/{dataset}/{model}/seed{seed}/metrics/{protocol}/T{temperature}.json",
        ),
        likelihood=lambda wildcards: plan.table_files(
            EFFECTIVE, wildcards, "results/{preset}/{dataset}/{model}/seed{seed}/likelihood.json"
        ),
        training=lambda wildcards: plan.table_files(
            EFFECTIVE, wildcards, "results/{preset}/{dataset}/{model}/seed{seed}/training.json"
        ),
        published=PUBLISHED,
    output:
        csv="results/{preset}/tables/{table}.csv",
        markdown="results/{preset}/tables/{table}.md",
    log:
        "logs/table/{preset}/{table}.log",
    conda:
        "../../environment.yml"
    params:
        spec=lambda wildcards: json.dumps(plan.table_spec(EFFECTIVE, wildcards.preset, wildcards.table)),
    shell:
        """
        python -m vaeglow.steps.table \
            --spec {params.spec:q} \
            --published {input.published:q} \
            --results-root results \
            --output {output.csv} \
            --markdown {output.markdown} \
            >{log} 2>&1
        """


# The preset is in the input's path: after `preset` changes the copy is made anew, and again on the way back.
rule publish:
    input:
        csv=f"results/{PRESET}/tables/{{table}}.csv",
        markdown=f"results/{PRESET}/tables/{{table}}.md",
    output:
        csv=report("results/{table}.csv", caption="../report/table.rst", category="Tables"),
        markdown="results/{table}.md",
    log:
        "logs/publish/{table}.log",
    conda:
        "../../environment.yml"
    shell:
        """
        python -m vaeglow.steps.publish \
            --source {input} \
            --output {output} \
            >{log} 2>&1
        """


rule sample_sheet:
    input:
        samples=lambda wildcards: plan.figure_files(
            EFFECTIVE,
            wildcards,
            "results/{preset}/{dataset}/{model}/seed{seed}/samples/T{temperature}.npz",
            of="model",
        ),
        info=lambda wildcards: plan.figure_files(EFFECTIVE, wildcards, "resources/data/{dataset}/dataset.json"),
        arrays=lambda wildcards: ancient(
            plan.figure_files(EFFECTIVE, wildcards, "resources/data/{dataset}/{data}.npy", of="data")
        ),
        style=STYLE,
    output:
        png="results/{preset}/figures/{figure}.png",
        pdf="results/{preset}/figures/{figure}.pdf",
    log:
        "logs/sample_sheet/{preset}/{figure}.log",
    wildcard_constraints:
        figure=one_of(plan.figures_of(config, "sample_sheet")),
    conda:
        "../../environment.yml"
    params:
        spec=lambda wildcards: json.dumps(plan.figure_spec(EFFECTIVE, wildcards.preset, wildcards.figure)),
        data_dir=lambda wildcards: plan.figure_files(EFFECTIVE, wildcards, "resources/data/{dataset}"),
    shell:
        """
        python -m vaeglow.steps.sample_sheet \
            --spec {params.spec:q} \
            --results-root results \
            --data-dir {params.data_dir} \
            --output {output.png} {output.pdf} \
            >{log} 2>&1
        """


use rule publish as publish_figure with:
    input:
        png=f"results/{PRESET}/figures/{{figure}}.png",
        pdf=f"results/{PRESET}/figures/{{figure}}.pdf",
    output:
        png=report("results/{figure}.png", caption="../report/figure.rst", category="Figures"),
        pdf="results/{figure}.pdf",
    log:
        "logs/publish/figures/{figure}.log",
