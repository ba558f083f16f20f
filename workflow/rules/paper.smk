# The paper's tables: measured files and published numbers -> results/{preset}/tables -> results/.
#
#   metrics, likelihood.json, training.json of each row and seed, resources/published.csv
#       ->  results/{preset}/tables/{table}.csv, .md     (table: any preset)
#       ->  results/{table}.csv, .md                     (publish: the configured preset's, by copy)
#
# A table is an entry of `tables` in config: dataset, protocol and rows (model and temperature).


localrules:
    publish,


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
            --source {input.csv} {input.markdown} \
            --output {output.csv} {output.markdown} \
            >{log} 2>&1
        """
