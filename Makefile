# make demo | test | test-energy | test-web | test-integrations | test-cluster | test-dft | docs | docs-links | check | venv | figures | bench | energies | lock | clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INTEGRATIONS := .venv-integrations
DOCS := .venv-docs
CLUSTER := .venv-cluster
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Where torch comes from: the index of its CPU builds (0.2 GB). With `make venv TORCH_INDEX=` it is the ordinary one, whose
# builds for Linux are for NVIDIA GPUs and bring 6 GB of CUDA.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH := $(shell grep '^torch==' requirements.lock)

.PHONY: demo test test-energy test-web test-integrations test-cluster test-dft docs docs-links check venv figures bench energies lock clean

demo: $(READY)
	$(BIN)/python examples/demo.py --out demo-output

test: $(READY)
	$(BIN)/python -m pytest -q -n auto

# Potentials with weights in their wheels; the lock as a constraint keeps torch and all else at its version.
test-energy: $(READY)
	$(PIP) --constraint requirements.lock chgnet==0.4.2 sevenn==0.13.0
	$(BIN)/python -m pytest -q tests/energy

# The page in Chromium (installed as root on Debian where it is missing), its interface by schemathesis, and what hosts it:
# linted, the steps of the Dockerfile run without an engine. The lock has the versions of requirements.lock, and what
# these need besides.
test-web: $(READY)
	scripts/install_chromium.sh
	$(PIP) --requirement requirements-web.lock
	EMPNN_REQUIRE_WEB=1 $(BIN)/python -m pytest -q tests/web/browser tests/web/hosting

# The adapters beside the packages they are for, in an environment of its own: one of these needs an older python-dateutil.
test-integrations: $(INTEGRATIONS)/.ready
	EMPNN_REQUIRE_INTEGRATIONS=1 $(INTEGRATIONS)/bin/python -m pytest -q tests/integrations

# A cluster of this machine's cores, workers killed, disks full.
test-cluster: $(CLUSTER)/.ready
	EMPNN_REQUIRE_CLUSTER=1 $(CLUSTER)/bin/python -m pytest -q tests/cluster

# Real density functional theory: builds GPAW (as root on Debian, with what the build needs) and runs it.
test-dft: $(READY)
	scripts/install_gpaw.sh $(VENV)
	EMPNN_REQUIRE_DFT=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/energy/oracles/test_gpaw.py

# The pages as a site in docs/_build/html, in an environment of its own: notebooks are run, and a warning, a link that leads
# nowhere among them, ends it. Then its tests; those of the search need Chromium.
docs: $(DOCS)/.ready
	scripts/install_chromium.sh
	$(DOCS)/bin/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	EMPNN_REQUIRE_DOCS=1 $(DOCS)/bin/python -m pytest -q tests/docs

# The links that lead elsewhere, which needs the internet.
docs-links: $(DOCS)/.ready
	$(DOCS)/bin/python -m sphinx -q -D nb_execution_mode=off -D suppress_warnings=myst-nb.lexer -b linkcheck docs docs/_build/links

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

venv: $(READY)

# An environment in the folder $(1) with what the file $(2) pins, and this package.
define environment
	$(PYTHON) -m venv $(1)
	@test -z "$(TORCH_INDEX)" || $(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --retries 1 --timeout 20 --index-url $(TORCH_INDEX) $(TORCH) 2>/dev/null || \
		echo "$(TORCH_INDEX) cannot be reached: torch comes from the ordinary index, on Linux with CUDA (6 GB)"
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(2)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(1)/.ready
endef

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "empnn needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "the venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	$(call environment,$(VENV),requirements.lock)

$(INTEGRATIONS)/.ready: requirements-integrations.lock pyproject.toml
	$(call environment,$(INTEGRATIONS),requirements-integrations.lock)

$(DOCS)/.ready: requirements-docs.lock pyproject.toml
	$(call environment,$(DOCS),requirements-docs.lock)

$(CLUSTER)/.ready: requirements-cluster.lock pyproject.toml
	$(call environment,$(CLUSTER),requirements-cluster.lock)

# The figures of README, cards and the reproduced paper, measured anew on all of val: EMPNN_DATA names the folder that holds the data sets.
figures: $(READY)
	$(BIN)/python -m benchmarks.quality.denoising --page docs/accuracy.md
	$(BIN)/python -m benchmarks.quality.second_pass
	$(BIN)/python -m benchmarks.quality.wrong_volume
	$(BIN)/python -m benchmarks.quality.decorated
	$(BIN)/python -m benchmarks.quality.decorated pbe --fix cell positions --limit 300 --out benchmarks/results/fixed.json
	$(BIN)/python -m benchmarks.quality.large_crystals
	$(BIN)/python -m benchmarks.quality.errors
	$(BIN)/python -m benchmarks.quality.symmetry_kept
	$(BIN)/python -m benchmarks.quality.symmetrized
	test -d runs/nbsrh || $(BIN)/empnn train data.pairs=$(EMPNN_DATA)/pairs/nbsrh_train.json.gz model.start_from=pbe loss=hencky loss.positions=1 steps=300 train.validate_every=50 train.out=runs/nbsrh
	$(BIN)/python -m benchmarks.quality.pairs --trained runs/nbsrh
	$(BIN)/python -m benchmarks.speed.relax_files
	$(BIN)/python examples/demo.py --out demo-output
	cp demo-output/before_after.png docs/images/before_after.png
	$(BIN)/python -m benchmarks.quality.candidates_picture
	$(BIN)/python -m benchmarks.quality.paper_figures
	test ! -d runs/reproduce || $(BIN)/python -m benchmarks.quality.paper_tables
	$(BIN)/python -m benchmarks.quality.paper_schedule --draw
	$(BIN)/python scripts/draw_figures.py
	$(BIN)/python docs/figures/graph.py
	$(BIN)/python scripts/reference_pages.py

# The speed against yardsticks, in a few minutes on a quiet machine; EMPNN_DATA as above.
bench: $(READY)
	$(PIP) "vesin>=0.6"
	for name in train_step memory relax_throughput neighbours scaling roofline breakdown; do $(BIN)/python -m benchmarks.speed.$$name || exit 1; done
	$(BIN)/python -m benchmarks.bench

# Equation 13, relaxers beside each other and steps saved: hours on a quiet machine, resumed where it stopped. Needs
# `make test-energy` and `make test-dft` first; EMPNN_DATA as above. FF="mp_20=RUN ..." names trained feed-forward
# baselines (`empnn train data=mp_20 model.name=ff`), which stand beside the others then.
energies: $(READY)
	$(BIN)/python -m benchmarks.energy.energies
	$(BIN)/python -m benchmarks.energy.relaxers $(if $(FF),--ff $(FF))
	$(BIN)/python -m benchmarks.energy.steps_saved
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.energy.convergence
	for name in energies relaxers steps_saved; do OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.energy.$$name --oracles gpaw sevennet chgnet --small --limit 6 || exit 1; done
	$(BIN)/python -m benchmarks.energy.relaxed_candidates
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.energy.relaxed_candidates --oracles gpaw --small --limit 6 --steps 60
	$(BIN)/python -m benchmarks.energy.energy_report
	$(BIN)/python -m benchmarks.energy.candidates_report

lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet "torch==2.13.0" hatchling editables --editable ".[dev]"
	.venv-lock/bin/python scripts/lock.py requirements.lock
	.venv-lock/bin/python -m pip install --quiet --constraint requirements.lock --editable ".[browser]"
	.venv-lock/bin/python scripts/lock.py requirements-web.lock
	.venv-lock/bin/python -m pip install --quiet --constraint requirements.lock --editable ".[docs]"
	.venv-lock/bin/python scripts/lock.py requirements-docs.lock
	.venv-lock/bin/python -m pip install --quiet --constraint requirements.lock --editable ".[cluster]"
	.venv-lock/bin/python scripts/lock.py requirements-cluster.lock
	grep -v '^python-dateutil==' requirements.lock > .venv-lock/shared.txt
	.venv-lock/bin/python -m pip install --quiet --constraint .venv-lock/shared.txt --editable ".[integrations]"
	.venv-lock/bin/python scripts/lock.py requirements-integrations.lock
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) $(INTEGRATIONS) $(DOCS) $(CLUSTER) docs/_build docs/_api demo-output
