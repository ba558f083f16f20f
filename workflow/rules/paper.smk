# The paper's tables, figures and claims: measured files and published numbers -> results/{preset} -> results/.
#   an entry in config, all filled in  ->  results/{preset}/specs/{section}/{name}.json      (write_spec)
#   what its kind's `READS` names, of each row and seed (a figure of images: the first), and the spec
#       ->  results/{preset}/tables/{table}.csv ..., figures/{figure}.png ..., claims.csv ...  (any preset)
#       ->  results/{table}.csv ..., {figure}.png ..., claims.csv ...                        (publish*: by copy)
#   history.csv of a run  ->  curves.png beside it                                           (training_curves)
# Figures read arrays and JSON, never a model: they are drawn again when the style module changes.
# All of it takes seconds: on a cluster it runs where Snakemake runs.

STYLE = os.path.relpath(Path(plan.__file__).parents[1] / "reporting/style.py")


rule write_spec:
    output:
        "results/{preset}/specs/{section}/{name}.json",
    log:
        "logs/write_spec/{preset}/{section}/{name}.log",
    wildcard_constraints:
        section="tables|figures|claims",
        name=targets.one_of([*VIEWS[PRESET]["tables"], *VIEWS[PRESET]["figures"], "claims"]),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        content=lambda w: json.dumps(plan.spec(VIEWS[w.preset], w.section, w.name), indent=2),
    shell:
        "printf '%s\\n' {params.content:q} >{output} 2>{log}"


rule write_study:
    output:
        "results/{preset}/study.json",
    log:
        "logs/write_study/{preset}.log",
    localrule: True
    params:
        content=lambda wildcards: plan.study(config, VIEWS[wildcards.preset]),
    run:
        # of many seeds it is too long for a command line
        write_json(output[0], params.content)


rule table:
    input:
        spec="results/{preset}/specs/tables/{table}.json",
        results=lambda wildcards: plan.paths(plan.needs(VIEWS[wildcards.preset], "tables", wildcards.table)),
        published=PUBLISHED,
    output:
        multiext("results/{preset}/tables/{table}", ".csv", ".full.csv", ".md", ".html", ".tex"),
    log:
        "logs/table/{preset}/{table}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        step="table",
    shell:
        """
        python -m vaeglow.steps.{params.step} \
            --spec {input.spec} --published {input.published:q} --results-root results \
            --output {output} \
            >{log} 2>&1
        """


rule figure:
    input:
        spec="results/{preset}/specs/figures/{figure}.json",
        results=lambda wildcards: plan.paths(plan.needs(VIEWS[wildcards.preset], "figures", wildcards.figure)),
        info=lambda wildcards: plan.figure_data(VIEWS[wildcards.preset], wildcards.figure, "info"),
        images=lambda wildcards: ancient(plan.figure_data(VIEWS[wildcards.preset], wildcards.figure, "images")),
        style=STYLE,
    output:
        multiext("results/{preset}/figures/{figure}", ".png", ".pdf"),
    log:
        "logs/figure/{preset}/{figure}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        step="figure",
    shell:
        """
        python -m vaeglow.steps.{params.step} \
            --spec {input.spec} --results-root results --data-root resources/data \
            --output {output} \
            >{log} 2>&1
        """


rule claims:
    input:
        spec="results/{preset}/specs/claims/claims.json",
        results=lambda wildcards: plan.paths(plan.needs(VIEWS[wildcards.preset], "claims")),
    output:
        multiext("results/{preset}/claims", ".csv", ".full.csv", ".md", ".html"),
    log:
        "logs/claims/{preset}.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        step="claims",
    shell:
        """
        python -m vaeglow.steps.{params.step} \
            --spec {input.spec} --results-root results \
            --output {output} \
            >{log} 2>&1
        """


rule training_curves:
    input:
        history=result("history"),
        training=result("training"),
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
    localrule: True
    conda:
        "../../environment.yml"
    params:
        step="training_curves",
    shell:
        """
        python -m vaeglow.steps.{params.step} \
            --history {input.history} --training {input.training} \
            --output {output} \
            >{log} 2>&1
        """


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


# The preset is in the input's path: whenever `preset` changes the copy is made again. In the report a table or figure
# that is called an ablation is in a section of its own.
rule publish:
    input:
        multiext(f"results/{PRESET}/tables/{{table}}", ".csv", ".full.csv", ".md", ".html", ".tex"),
    output:
        report(
            "results/{table}.csv",
            caption="../report/table.rst",
            category=lambda w: targets.report_section(config, "tables", w.table),
            labels=lambda w: {"result": config["tables"][w.table]["title"], "as": "spreadsheet (CSV)"},
        ),
        report(
            "results/{table}.html",
            caption="../report/table.rst",
            category=lambda w: targets.report_section(config, "tables", w.table),
            labels=lambda w: {"result": config["tables"][w.table]["title"], "as": "page"},
        ),
        multiext("results/{table}", ".full.csv", ".md", ".tex"),
    log:
        "logs/publish/tables/{table}.log",
    localrule: True
    conda:
        "../../environment.yml"
    shell:
        "cp {input} results/ >{log} 2>&1"


rule publish_figure:
    input:
        multiext(f"results/{PRESET}/figures/{{figure}}", ".png", ".pdf"),
    output:
        report(
            "results/{figure}.png",
            caption="../report/figure.rst",
            category=lambda w: targets.report_section(config, "figures", w.figure),
            labels=lambda w: {"result": config["figures"][w.figure]["title"], "as": "figure"},
        ),
        "results/{figure}.pdf",
    log:
        "logs/publish/figures/{figure}.log",
    localrule: True
    conda:
        "../../environment.yml"
    shell:
        "cp {input} results/ >{log} 2>&1"


rule publish_claims:
    input:
        multiext(f"results/{PRESET}/claims", ".csv", ".full.csv", ".md", ".html"),
    output:
        report(
            "results/claims.csv",
            caption="../report/claim.rst",
            category="Claims",
            labels={"result": "The paper's claims, and what we measured", "as": "spreadsheet (CSV)"},
        ),
        report(
            "results/claims.html",
            caption="../report/claim.rst",
            category="Claims",
            labels={"result": "The paper's claims, and what we measured", "as": "page"},
        ),
        multiext("results/claims", ".full.csv", ".md"),
    log:
        "logs/publish/claims.log",
    localrule: True
    conda:
        "../../environment.yml"
    shell:
        "cp {input} results/ >{log} 2>&1"
