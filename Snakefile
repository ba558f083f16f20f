# The entry point: `snakemake --cores 1 results/table2.csv`. The workflow itself is in workflow/Snakefile.


include: "workflow/Snakefile"


# An included file's first rule is not the default target of the including one: say so here.
rule default:
    default_target: True
    input:
        rules.all.input,
