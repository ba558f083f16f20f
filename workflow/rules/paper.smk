# The paper's tables, figures and claims: measured files and published numbers -> results/{preset} -> results/.
#
#   the results of each row and seed (by the entry's `kind`), resources/published.csv
#       ->  results/{preset}/tables/{table}.csv, .md, .html, .tex   (table: any preset)
#   the results of each row under the first seed, prepared images
#       ->  results/{preset}/figures/{figure}.png, .pdf         (figure: any preset)
#   what the enabled claims need, every seed
#       ->  results/{preset}/claims.csv, .md, .html             (claims: any preset)
#   history.csv of a run
#       ->  results/{preset}/{dataset}/{model}/seed{seed}/curves.png   (training_curves)
#   all of these  ->  results/{table}.csv ..., results/{figure}.png ..., results/claims.csv ...   (publish*: by copy)
#
# A table, figure or claim is an entry in config; vaeglow/entries.py says what each kind reads. Figures read arrays and
# JSON, never a model: they are drawn again when the style module changes, and nothing is trained.


# Seconds each: on a cluster they run where Snakemake runs.
localrules:
    table,
    figure,
    claims,
    training_curves,
    publish,
    publish_figure,
    publish_claims,
    collect,


rule table:
    input:
        results=lambda wildcards: plan.table_files(EFFECTIVE, wildcards.preset, wildcards.table),
        published=PUBLISHED,
    output:
        csv="results/{preset}/tables/{table}.csv",
        markdown="results/{preset}/tables/{table}.md",
        html="results/{preset}/tables/{table}.html",
        latex="results/{preset}/tables/{table}.tex",
    log:
        "logs/table/{preset}/{table}.log",
    conda:
        "../../environment.yml"
    params:
        spec=lambda wildcards: json.dumps(plan.spec(EFFECTIVE, wildcards.preset, "tables", wildcards.table)),
    shell:
        """
        python -m vaeglow.steps.table \
            --spec {params.spec:q} \
            --published {input.published:q} \
            --results-root results \
            --output {output.csv} \
            --markdown {output.markdown} \
            --html {output.html} \
            --latex {output.latex} \
            >{log} 2>&1
        """


rule figure:
    input:
        results=lambda wildcards: plan.figure_files(EFFECTIVE, wildcards.preset, wildcards.figure),
        info=lambda wildcards: plan.figure_data(EFFECTIVE, wildcards.preset, wildcards.figure, "info"),
        images=lambda wildcards: ancient(plan.figure_data(EFFECTIVE, wildcards.preset, wildcards.figure, "images")),
        style=STYLE,
    output:
        png="results/{preset}/figures/{figure}.png",
        pdf="results/{preset}/figures/{figure}.pdf",
    log:
        "logs/figure/{preset}/{figure}.log",
    conda:
        "../../environment.yml"
    params:
        spec=lambda wildcards: json.dumps(plan.spec(EFFECTIVE, wildcards.preset, "figures", wildcards.figure)),
    shell:
        """
        python -m vaeglow.steps.figure \
            --spec {params.spec:q} \
            --results-root results \
            --data-root resources/data \
            --output {output.png} {output.pdf} \
            >{log} 2>&1
        """


rule claims:
    input:
        results=lambda wildcards: plan.claims_files(EFFECTIVE, wildcards.preset),
    output:
        csv="results/{preset}/claims.csv",
        markdown="results/{preset}/claims.md",
        html="results/{preset}/claims.html",
    log:
        "logs/claims/{preset}.log",
    conda:
        "../../environment.yml"
    params:
        spec=lambda wildcards: json.dumps(plan.claims_spec(EFFECTIVE, wildcards.preset)),
    shell:
        """
        python -m vaeglow.steps.claims \
            --spec {params.spec:q} \
            --results-root results \
            --output {output.csv} \
            --markdown {output.markdown} \
            --html {output.html} \
            >{log} 2>&1
        """


rule training_curves:
    input:
        history="results/{preset}/{dataset}/{model}/seed{seed}/history.csv",
        training="results/{preset}/{dataset}/{model}/seed{seed}/training.json",
        style=STYLE,
    output:
        png=report(
            "results/{preset}/{dataset}/{model}/seed{seed}/curves.png",
            caption="../report/curves.rst",
            category="Training curves",
            subcategory="{dataset}",
            labels={"model": "{model}", "seed": "{seed}"},
        ),
    log:
        "logs/training_curves/{preset}/{dataset}/{model}/seed{seed}.log",
    conda:
        "../../environment.yml"
    shell:
        """
        python -m vaeglow.steps.training_curves \
            --history {input.history} \
            --training {input.training} \
            --output {output.png} \
            >{log} 2>&1
        """


# The preset is in the input's path: after `preset` changes the copy is made anew, and again on the way back.
rule publish:
    input:
        csv=f"results/{PRESET}/tables/{{table}}.csv",
        markdown=f"results/{PRESET}/tables/{{table}}.md",
        html=f"results/{PRESET}/tables/{{table}}.html",
        latex=f"results/{PRESET}/tables/{{table}}.tex",
    output:
        csv=report(
            "results/{table}.csv",
            caption="../report/table.rst",
            category=lambda wildcards: plan.category_of("tables", wildcards.table),
            labels=lambda wildcards: {
                "result": plan.title_of(config, "tables", wildcards.table),
                "as": "spreadsheet (CSV)",
            },
        ),
        markdown="results/{table}.md",
        html=report(
            "results/{table}.html",
            caption="../report/table.rst",
            category=lambda wildcards: plan.category_of("tables", wildcards.table),
            labels=lambda wildcards: {"result": plan.title_of(config, "tables", wildcards.table), "as": "page"},
        ),
        latex="results/{table}.tex",
    log:
        "logs/publish/tables/{table}.log",
    conda:
        "../../environment.yml"
    shell:
        """
        python -m vaeglow.steps.publish \
            --source {input} \
            --output {output} \
            >{log} 2>&1
        """


use rule publish as publish_figure with:
    input:
        png=f"results/{PRESET}/figures/{{figure}}.png",
        pdf=f"results/{PRESET}/figures/{{figure}}.pdf",
    output:
        png=report(
            "results/{figure}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: plan.category_of("figures", wildcards.figure),
            labels=lambda wildcards: {"result": plan.title_of(config, "figures", wildcards.figure), "as": "figure"},
        ),
        pdf="results/{figure}.pdf",
    log:
        "logs/publish/figures/{figure}.log",


use rule publish as publish_claims with:
    input:
        csv=f"results/{PRESET}/claims.csv",
        markdown=f"results/{PRESET}/claims.md",
        html=f"results/{PRESET}/claims.html",
    output:
        csv=report(
            "results/claims.csv",
            caption="../report/claims.rst",
            category="Claims",
            labels={"result": "The paper's claims, and what we measured", "as": "spreadsheet (CSV)"},
        ),
        markdown="results/claims.md",
        html=report(
            "results/claims.html",
            caption="../report/claims.rst",
            category="Claims",
            labels={"result": "The paper's claims, and what we measured", "as": "page"},
        ),
    log:
        "logs/publish/claims.log",


# Folders to browse or take away: results/tables, results/figures.
rule collect:
    input:
        lambda wildcards: PUBLISHED_FILES[wildcards.sort],
    output:
        directory("results/{sort}"),
    log:
        "logs/collect/{sort}.log",
    wildcard_constraints:
        sort="tables|figures",
    conda:
        "../../environment.yml"
    shell:
        """
        python -m vaeglow.steps.collect \
            --source {input} \
            --output-dir {output} \
            >{log} 2>&1
        """
