# `make table2`, `make all`, `make verify`, `make test`. They need only Python 3.11+ and make.

PYTHON ?= python3
CORES ?= 1
SIZE ?= 32
# More options for pip, snakemake and pytest, for example SNAKEMAKE_FLAGS="--config preset=short".
PIP_FLAGS ?=
SNAKEMAKE_FLAGS ?=
PYTEST_FLAGS ?=

# Relative paths only: the checkout's own path may hold spaces.
PY := .venv/bin/python
SNAKEFILES := Snakefile workflow
PRESET ?= cpu
STUDY = $(PY) study/study.py study/$(PRESET).yaml --cores $(CORES) --flags="$(SNAKEMAKE_FLAGS)" \
  $(if $(CIFAR),--cifar "$(CIFAR)") $(if $(FACES),--faces "$(FACES)") \
  $(if $(CIFAR_FRESH),--cifar-fresh "$(CIFAR_FRESH)") $(if $(FACES_FRESH),--faces-fresh "$(FACES_FRESH)") \
  $(if $(RUNS),--runs "$(RUNS)")
# Nothing is trained or measured for `make figures`.
DRAWING = drawn write_spec table figure claims publish publish_figure publish_claims prepare_data

# Ctrl-C reaches make, too, and ends it: without an "Error" of a recipe, after the line that says what is saved.
.SHELLFLAGS = -c 'trap "exit 0" INT; eval "$$1"' --
# What `make` prints at its end.
SHOW = $(PY) -m vaeglow.reporting.terminal
PICTURES = the report, in one page to open in a browser: make report

.DEFAULT_GOAL := help
.PHONY: help flags table2 all mine study study-left study-pause tune report archive figures verify test test-newest \
  test-slurm faults lint docs clean clean-state

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

# A mistake in SNAKEMAKE_FLAGS is one line, not a traceback of Snakemake's.
table2 all mine study study-left tune report archive: flags
flags: .venv/.installed
	@$(PY) -m vaeglow.snakemake_errors $(SNAKEMAKE_FLAGS)

.DEFAULT:  # a mistyped target
	@echo "error: there is no target '$@': make help lists them" >&2; exit 2

table2: .venv/.installed  ## train, evaluate and print Table 2 at demo scale (CORES=2 is faster)
	$(PY) -m snakemake --cores $(CORES) results/table2.csv results/samples.png $(SNAKEMAKE_FLAGS)
	@echo
	@$(SHOW) table results/table2.full.csv
	@echo "samples: results/samples.png; $(PICTURES)"

all: .venv/.installed  ## every table, figure and claim of the paper at demo scale (CORES=2 is faster; times: README.md)
	$(PY) -m snakemake --cores $(CORES) $(SNAKEMAKE_FLAGS)
	@echo
	@test ! -e results/claims.csv || $(SHOW) claims results/claims.csv quality_main likelihood_main training_speed flow_prior_grey
	@echo "tables and figures: results/*.md, results/*.png; $(PICTURES)"

ifeq ($(origin PRESET),file)
mine report: PRESET = demo
endif
mine: .venv/.installed  ## a table and samples of your own images (IMAGES=/folder; SIZE=64, PRESET=cpu: larger)
	$(if $(findstring --configfile,$(SNAKEMAKE_FLAGS)),$(error make mine has its own --configfile: put the keys into config/mine/))
	@name=$$($(PY) workflow/mine.py "$(IMAGES)" --size $(SIZE) --preset $(PRESET) --cores $(CORES)) && \
	$(PY) -m snakemake --cores $(CORES) results/$$name.csv results/$${name}_samples.png \
	  --configfile config/mine/$$name-$(PRESET).yaml $(SNAKEMAKE_FLAGS) && \
	echo && $(SHOW) table results/$$name.full.csv && echo "samples: results/$${name}_samples.png; $(PICTURES)" && \
	echo "next: larger networks (PRESET=cpu), or edit config/mine/$$name-$(PRESET).yaml; docs/own-images.md"

ifeq ($(origin CORES),file)  # else the environment says it
study study-left: CORES = 2
endif
study: .venv/.installed  ## three seeds on real images, resumable (CIFAR=/folder FACES=/folder; or PRESET=paper)
	$(STUDY)

study-left: .venv/.installed  ## what a study has left to train, and about how long that takes
	$(STUDY) --plan

study-pause: .venv/.installed  ## pause a running study, for timings that need quiet cores; once more: go on
	@$(STUDY) --pause

tune: .venv/.installed-test  ## the fastest settings of training on this machine, in config/tuned/ (half an hour)
	$(PY) -m snakemake --cores all --force tune $(SNAKEMAKE_FLAGS)
	@echo
	@cat config/tuned/report.md

report: MINE = $(wildcard config/mine/*-$(PRESET).yaml)
report: .venv/.installed  ## report.html: all that has been built, in one page to browse, without a server
	$(PY) -m snakemake --report report.html built $(if $(MINE),--configfile $(MINE)) $(SNAKEMAKE_FLAGS)
	@echo "report.html: open it in a browser"

archive: verify .venv/.installed-archive  ## what is built of a preset in one file, results/PRESET.zip, for Zenodo and the like
	$(PY) -m snakemake --cores 1 --force archive $(SNAKEMAKE_FLAGS)
	@ls -sh results/*.zip

figures: TO ?= unpacked/$(basename $(notdir $(FROM:/=)))
figures: .venv/.installed  ## draw the tables and figures of an archive again, in a folder of its own (FROM=archive.zip)
	$(if $(FROM),,$(error which archive: make figures FROM=results/demo.zip))$(PY) -m vaeglow.archive "$(FROM)" --folder "$(TO)"
	$(PY) -m snakemake --cores $(CORES) --directory "$(TO)" --configfile "$(TO)/config.json" --replace-workflow-config \
	  --allowed-rules $(DRAWING) --forcerun table figure claims --keep-going -- drawn
	@echo "drawn: $(TO)/results"

verify: .venv/.installed  ## re-hash results and data, and say what no longer matches
	$(PY) -m vaeglow.verify results $(if $(wildcard resources/data),--data resources/data)

test: .venv/.installed-test  ## the tests (default selection)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal $(PYTEST_FLAGS)

test-newest:  ## the same with the newest versions of all packages, a Snakemake that is excluded so far among them
	test -x .venv-newest/bin/python || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet --upgrade --upgrade-strategy eager $(PIP_FLAGS) -e '.[workflow,test]'
	.venv-newest/bin/pip install --quiet --upgrade $(PIP_FLAGS) snakemake
	OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest -n 2 --dist worksteal $(PYTEST_FLAGS)

test-slurm: .venv/.installed-slurm  ## the tests on a Slurm started here (Debian: slurmctld slurmd slurm-client munge)
	OMP_NUM_THREADS=1 $(PY) -m pytest -m slurm -s tests/workflow/test_slurm.py $(PYTEST_FLAGS)

faults: .venv/.installed-test  ## break things on purpose (kill -9, full disk, damaged files): logs/faults.md
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -m "faults and not slurm and not gpu" \
	  --faults-table=logs/faults.md $(PYTEST_FLAGS)

lint: .venv/.installed-test  ## style of Python and Snakemake files
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/snakefmt --check $(SNAKEFILES)
	$(PY) -m snakemake --lint

docs: .venv/.installed-docs  ## the documentation as a site to browse, in site/, built without the network
	$(PY) tools/build_site.py
	@echo "site/index.html: open it in a browser; its search needs a server: $(PY) -m http.server --directory site"

clean:  ## remove .venv, caches and logs; results/ and resources/ stay
	rm -rf .venv .venv-newest .pytest_cache .ruff_cache build dist logs site .cache *.egg-info
	find vaeglow tests -name __pycache__ -type d -prune -exec rm -rf {} +

clean-state:  ## remove the resume state of all runs (a finished run needs it only if its data are prepared again)
	@command -v flock >/dev/null || { echo "error: no flock, so nobody knows which runs train: delete results/*/*/*/*/state yourself" >&2; exit 2; }
	@find results -name state -type d -prune | while IFS= read -r state; do \
	  if flock -n "$$state/lock" true; then rm -rf "$$state"; \
	  else echo "$$state is in use: left"; fi; done

# A stamp for each set of extras: installed once, and again when the lists of packages change.
.venv/.installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	test -x $(PY) || $(PYTHON) -m venv .venv
	@echo "installing packages into .venv: about two minutes and 1 GB, with CUDA's 5 GB"
	$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c requirements.lock -e '.[workflow]'
	@touch $@

.venv/.installed-%: .venv/.installed
	$(PY) -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c requirements.lock -e '.[$*]'
	@touch $@

.venv/.installed-slurm: .venv/.installed-test
