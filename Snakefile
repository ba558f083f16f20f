# The entry point: `snakemake --cores 1 results/table2.csv`. The workflow itself is in workflow/Snakefile.


include: "workflow/Snakefile"


# Snakemake's limit of 100 new jobs a second wakes the scheduler once more a second for each job that has finished: after
# 90 jobs of a study it took a fifth of a core.
onstart:
    workflow.scheduler.job_rate_limiter = None


# An included file's first rule is not the default target of the including one: say so here.
rule default:
    default_target: True
    input:
        rules.all.input,
