# One line for each target: `make help`. Settings are environment variables: MODEL=model/mine PORT=9000 make run
PYTHON ?= python3
SERVE  := .venv/bin
DEV    := .venv-dev/bin
TRAIN  := .venv-train/bin
PIP    := -m pip --disable-pip-version-check install --quiet --require-hashes
PYTEST := python -m pytest $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help run train check lint types format test test-app test-server test-training test-browser test-image test-deploy \
	test-load screenshots bench soak image sbom lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: .venv/ready ## Serve model/imagenet, or MODEL, on PORT (8080)
	@exec $(SERVE)/gunicorn

train: .venv-train/ready ## Train; for example make train ARGS="--data photos --out model/mine"
	@exec $(TRAIN)/python train.py $(ARGS)

check: lint types test-app ## Check style and types and test the app, in under a minute; needs no TensorFlow

test: test-app test-server .venv-train/tests-ready ## Run the tests of the app, of training, and every command of the README
	$(TRAIN)/$(PYTEST) -n 2 --dist loadfile tests/test_readme.py tests/training

# Tests that need TensorFlow, a browser or other programs have other targets.
test-app: .venv-dev/ready .venv/ready
	$(DEV)/$(PYTEST) $(addprefix --ignore=tests/,browser deploy image load server training test_readme.py)

test-server: .venv-dev/ready .venv/ready ## Test the server from outside: conformance, attacks, signals
	$(DEV)/$(PYTEST) tests/server

test-training: .venv-train/tests-ready
	$(TRAIN)/$(PYTEST) -n 2 --dist loadfile tests/training

test-browser: .venv-dev/ready .venv/ready tests/browser/node_modules/.package-lock.json ## Test the page in Chromium
	$(DEV)/$(PYTEST) tests/browser

# The font of Debian's fonts-inter is close to what most visitors' systems show.
screenshots: .venv-dev/ready .venv/ready ## Take the screenshots that the docs show
	$(DEV)/$(PYTEST) tests/browser/screenshots.py

image: ## Build the container image, with docker, podman or buildah
	docker/build.sh $(BUILD_FLAGS)

test-image: .venv-dev/ready .venv/ready ## Build the image, run it under Cloud Run's limits, and test it from outside
	$(DEV)/$(PYTEST) tests/image

test-deploy: .venv-dev/ready .venv/ready ## Run the deploy scripts with the real gcloud, against a simulator of Google's APIs
	$(DEV)/$(PYTEST) -n 2 --dist loadfile tests/deploy

sbom: image .venv-dev/ready ## List the packages of the image in sbom.json, as CycloneDX
	docker/sbom.sh sbom.json

# Read by docker/build.sh: make test-image PYTHON_IMAGE=mirror/python:3.13-slim BUILD_FLAGS="--network host"
export IMAGE PYTHON_IMAGE MODEL ENGINE BUILD_FLAGS

# wrk and slowhttptest are Debian packages. .venv-train, because one of the other servers runs Keras.
bench: .venv-train/tests-ready .venv/ready ## Compare with other servers, about 20 minutes; ARGS="--quick" for a first look
	@$(TRAIN)/python -m bench $(ARGS)

soak: .venv-dev/ready .venv/ready ## Slow clients, overload, restarts, leaks, about 10 minutes; ARGS="--quick"
	@$(DEV)/python -m bench.soak $(ARGS)

test-load: .venv-dev/ready .venv/ready ## A short version of soak, as tests
	$(DEV)/$(PYTEST) tests/load

lint: .venv-dev/ready ## Check style and format
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/hadolint Dockerfile
	$(DEV)/shellcheck --severity=warning $(SCRIPTS)
	$(DEV)/shfmt --diff --indent 2 --case-indent $(SCRIPTS)
	for script in $(SCRIPTS); do bash -n $$script || exit; done
SCRIPTS = .ci/run $(wildcard deploy/*.sh deploy/*/*.sh docker/*.sh)

types: .venv-dev/ready ## Check types with mypy
	$(DEV)/mypy

format: .venv-dev/ready ## Correct what lint can correct
	$(DEV)/ruff check --fix .
	$(DEV)/ruff format .
	$(DEV)/shfmt --write --indent 2 --case-indent $(SCRIPTS)

# All requirements are resolved together first, so that the same package has the same version in every environment.
lock: .venv-dev/ready ## Pin the newest dependencies, with hashes
	$(LOCK) --upgrade pyproject.toml --extra train --extra dev -o $(ALL)
	$(LOCK) pyproject.toml -c $(ALL) -o requirements.txt
	$(LOCK) pyproject.toml -c $(ALL) --extra train -o requirements-train.txt
	$(LOCK) pyproject.toml -c $(ALL) --extra dev -o requirements-dev.txt
	for peer in $(PEERS); do $(LOCK) --upgrade $$peer/requirements.in -c requirements.txt -o $$peer/requirements.txt || exit; done
	@rm $(ALL)
LOCK  = $(DEV)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
ALL   = .venv-dev/all.txt
PEERS = $(patsubst %/requirements.in,%,$(wildcard bench/peers/*/requirements.in))

clean: ## Remove the environments
	rm -rf .venv .venv-dev .venv-train bench/.made

# An environment is installed again when its list of pinned packages changes. "ready" is written last, so that an
# interrupted installation is repeated.
.venv/ready: requirements.txt
	@echo "Installing what serving needs into .venv (10 s) ..."
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@.venv/bin/python $(PIP) -r requirements.txt
	@touch $@

.venv-dev/ready: requirements-dev.txt
	@echo "Installing the tools for tests and lint into .venv-dev (0.7 GB, half a minute) ..."
	@rm -rf .venv-dev && $(PYTHON) -m venv .venv-dev
	@.venv-dev/bin/python $(PIP) -r requirements-dev.txt
	@touch $@

.venv-train/ready: requirements-train.txt
	@echo "Installing TensorFlow into .venv-train (1.7 GB, a minute or two) ..."
	@rm -rf .venv-train && $(PYTHON) -m venv .venv-train
	@.venv-train/bin/python $(PIP) -r requirements-train.txt
	@touch $@

.venv-train/tests-ready: .venv-train/ready requirements-dev.txt
	@echo "Installing the tools for tests into .venv-train (0.5 GB, half a minute) ..."
	@.venv-train/bin/python $(PIP) -r requirements-train.txt -r requirements-dev.txt
	@touch $@

tests/browser/node_modules/.package-lock.json: tests/browser/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: apt-get install npm" >&2; exit 1; }
	@npm ci --silent --ignore-scripts --prefix tests/browser
	@touch $@
