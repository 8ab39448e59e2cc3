# `make book` and `make test`, each with all its own set-up in .venv; `make faults` injects faults; `make figures`, in an
# environment without torch.
#   make book PROFILE=reference      runs the rows of profiles/reference.yaml in place of those of profiles/mini.yaml
#   make book FRESH=1                computes every row anew as well, and compares it with results/; FRESH="ID ID": these
#   make row ROW=ID PROFILE=my.yaml  runs one row and leaves its executed page; PROFILE is a name or a file

PYTHON ?= python3
PROFILE ?= mini
CORES ?= 2
BIN := .venv/bin

# Values reach the shell and Snakemake as variables, never as text of a command.
export PROFILE FRESH

.PHONY: book row test faults
.DELETE_ON_ERROR:

# --nolock and --rerun-incomplete: a build that was killed continues, without an unlock step.
# --max-jobs-per-timespan: after each job that ends, Snakemake looks for jobs to start once a second, and once more a
# second for each job before it: by the end 40 times a second, each time at all inputs. Every four seconds is enough.
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES) --resources gpu=1 --nolock --rerun-incomplete \
  --max-jobs-per-timespan 100/4s --quiet rules host reason

# What fails stops nothing else. The book is then built with a page that says why in place of each notebook that failed,
# and the command fails all the same.
book: .venv/.ready
	@$(SNAKEMAKE) --keep-going || { \
	  $(SNAKEMAKE) --config failed=shown && \
	    echo "Notebooks failed, see above; the rest of the book is in _build/html/index.html" >&2; exit 1; }
	@echo "The book is in _build/html/index.html"
	@test -z "$$FRESH" || $(BIN)/python -m avss.report.repeated build/fresh/results results --rows "$$FRESH"

row: .venv/.ready
	@ROW="$$ROW" $(SNAKEMAKE) -- one

# One thread a process: the tests share the cores among themselves. Each process takes a run of neighbouring files, which
# share what they prepare, and one that is done takes over the end of another's.
test: .venv/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(CORES) --dist worksteal

# Faults injected on purpose, with their counts for the book. AVSS_FAULTS=quick runs a short part and keeps the counts.
# Then the tests that are too long for `make test`.
faults: .venv/.ready
	AVSS_FAULTS_OUT=$(if $(AVSS_FAULTS),,bench/results/faults.json) $(BIN)/python -m pytest --timeout 7200 tests/faults
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long --numprocesses $(CORES) --dist worksteal

# All figures and tables from results/ alone, in an environment without torch.
DRAWING := matplotlib numpy pandas pydantic pyyaml scipy seaborn

.PHONY: figures
figures: .venv-figures/.ready
	.venv-figures/bin/python -m avss.report results _build/figures

.venv-figures/.ready: requirements.lock
	$(PYTHON) -m venv .venv-figures
	.venv-figures/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock $(DRAWING)
	@touch $@

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
