# The entry point: `snakemake --cores 1 results/table2.csv`. The workflow itself is in workflow/Snakefile.


include: "workflow/Snakefile"


# Snakemake's own limit of 100 new jobs a second makes its scheduler wake more often with each job that has finished: in
# a study it takes much of a core. A slower limit, which a cluster may need, stays.
onstart:
    limit = workflow.scheduler.job_rate_limiter
    if limit and limit.max_jobs >= 100 * limit.timespan:
        workflow.scheduler.job_rate_limiter = None


# An included file's first rule is not the default target of the including one: say so here.
rule default:
    default_target: True
    input:
        rules.all.input,
