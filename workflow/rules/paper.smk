# The paper's tables, figures and claims: measured files and published numbers -> results/{preset} -> results/.
#   an entry in config, all filled in  ->  results/{preset}/specs/{section}/{name}.json      (write_spec)
#   what its kind's `READS` names, of each row and seed (a figure of images: the first), and the spec
#       ->  results/{preset}/tables/{table}.csv ..., figures/{figure}.png ..., claims.csv ...  (any preset)
#       ->  results/{table}.csv ..., {figure}.png ..., claims.csv ...                        (publish*: by copy)
#   history.csv of a run  ->  curves.png beside it                                           (training_curves)
# Figures read arrays and JSON, never a model: they are drawn again when the style module changes.


# Seconds each: on a cluster they run where Snakemake runs. `use rule` does not pass `localrule` on.
localrules:
    write_spec,
    write_study,
    table,
    figure,
    claims,
    training_curves,
    publish_figure,
    publish_claims,


use rule write_config as write_spec with:
    output:
        "results/{preset}/specs/{section}/{name}.json",
    log:
        "logs/write_spec/{preset}/{section}/{name}.log",
    wildcard_constraints:
        section="tables|figures|claims",
        name=plan.one_of([*config["tables"], *config["figures"], "claims"]),
    params:
        content=lambda w: json.dumps(plan.spec(EFFECTIVE[w.preset], w.section, w.name), indent=2),


use rule write_config as write_study with:
    output:
        "results/{preset}/study.json",
    log:
        "logs/write_study/{preset}.log",
    params:
        content=lambda wildcards: json.dumps(plan.study(config, EFFECTIVE[wildcards.preset]), indent=2),


use rule inspect_data as table with:
    input:
        spec="results/{preset}/specs/tables/{table}.json",
        results=lambda wildcards: plan.files(EFFECTIVE[wildcards.preset], "tables", wildcards.table),
        published=PUBLISHED,
    output:
        multiext("results/{preset}/tables/{table}", ".csv", ".full.csv", ".md", ".html", ".tex"),
    log:
        "logs/table/{preset}/{table}.log",
    params:
        step="table",
        inputs=lambda wildcards, input: flags(spec=input.spec, published=input.published, results_root="results"),


use rule inspect_data as figure with:
    input:
        spec="results/{preset}/specs/figures/{figure}.json",
        results=lambda wildcards: plan.files(EFFECTIVE[wildcards.preset], "figures", wildcards.figure),
        info=lambda wildcards: plan.figure_data(EFFECTIVE[wildcards.preset], wildcards.figure, "info"),
        images=lambda wildcards: ancient(plan.figure_data(EFFECTIVE[wildcards.preset], wildcards.figure, "images")),
        style=STYLE,
    output:
        multiext("results/{preset}/figures/{figure}", ".png", ".pdf"),
    log:
        "logs/figure/{preset}/{figure}.log",
    params:
        step="figure",
        inputs=lambda wildcards, input: flags(spec=input.spec, results_root="results", data_root="resources/data"),


use rule inspect_data as claims with:
    input:
        spec="results/{preset}/specs/claims/claims.json",
        results=lambda wildcards: plan.files(EFFECTIVE[wildcards.preset], "claims"),
    output:
        multiext("results/{preset}/claims", ".csv", ".full.csv", ".md", ".html"),
    log:
        "logs/claims/{preset}.log",
    params:
        step="claims",
        inputs=lambda wildcards, input: flags(spec=input.spec, results_root="results"),


use rule inspect_data as training_curves with:
    input:
        **reads("history", "training"),
        style=STYLE,
    output:
        report(
            result("curves"),
            caption="../report/curves.rst",
            category="Training curves",
            subcategory="{dataset}",
            labels={"model": "{model}", "seed": "{seed}"},
        ),
    log:
        "logs/training_curves/{preset}/{dataset}/{model}/seed{seed}.log",
    params:
        step="training_curves",
        inputs=lambda wildcards, input: flags(history=input.history, training=input.training),


# `make archive`: what is finished of the configured preset, in one file.
rule archive:
    input:
        f"results/{PRESET}/study.json",
    output:
        f"results/{PRESET}.zip",
    log:
        "logs/archive/archive.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        config=lambda wildcards: json.dumps(config),  # a function: see inception_weights
    shell:
        "python -m vaeglow.archive {output} --config {params.config:q} >{log} 2>&1"


# The preset is in the input's path: whenever `preset` changes the copy is made again.
rule publish:
    input:
        multiext(f"results/{PRESET}/tables/{{table}}", ".csv", ".full.csv", ".md", ".html", ".tex"),
    output:
        reported("results/{table}.csv", "tables", "spreadsheet (CSV)"),
        reported("results/{table}.html", "tables", "page"),
        multiext("results/{table}", ".full.csv", ".md", ".tex"),
    log:
        "logs/publish/tables/{table}.log",
    localrule: True
    conda:
        "../../environment.yml"
    shell:
        "cp {input} results/ >{log} 2>&1"


use rule publish as publish_figure with:
    input:
        multiext(f"results/{PRESET}/figures/{{figure}}", ".png", ".pdf"),
    output:
        reported("results/{figure}.png", "figures", "figure"),
        "results/{figure}.pdf",
    log:
        "logs/publish/figures/{figure}.log",


use rule publish as publish_claims with:
    input:
        multiext(f"results/{PRESET}/claims", ".csv", ".full.csv", ".md", ".html"),
    output:
        reported("results/claims.csv", "claims", "spreadsheet (CSV)"),
        reported("results/claims.html", "claims", "page"),
        multiext("results/claims", ".full.csv", ".md"),
    log:
        "logs/publish/claims.log",
