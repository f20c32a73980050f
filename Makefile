# One line a target: `make help`. Settings travel as environment variables: MODEL=model/mine PORT=9000 make run
PYTHON ?= python3
SERVE  := .venv/bin
DEV    := .venv-dev/bin
PIP    := -m pip --disable-pip-version-check install --quiet --require-hashes

.DEFAULT_GOAL := help
.PHONY: help run train test test-browser test-image test-deploy test-load screenshots bench soak lint format lock image sbom clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: .venv/ready ## Serve model/imagenet, or MODEL, on PORT (8080)
	@exec $(SERVE)/gunicorn

train: .venv-dev/ready ## Train; for example make train ARGS="--data photos --out model/mine"
	@exec $(DEV)/python train.py $(ARGS)

test: .venv-dev/ready .venv/ready ## Run the tests
	$(DEV)/python -m pytest --ignore=tests/browser --ignore=tests/image --ignore=tests/deploy --ignore=tests/load $(ARGS)

test-browser: .venv-dev/ready .venv/ready tests/browser/node_modules/.package-lock.json ## Test the page in Chromium
	@$(NEEDS_CHROMIUM)
	$(DEV)/python -m pytest tests/browser $(ARGS)

# Debian's fonts-inter gives the pictures the face that most visitors' systems come close to.
screenshots: .venv-dev/ready .venv/ready ## Take the pictures of the page that the docs show
	@$(NEEDS_CHROMIUM)
	$(DEV)/python -m pytest tests/browser/screenshots.py

NEEDS_CHROMIUM = command -v chromium >/dev/null || { echo "chromium is missing: apt-get install chromium" >&2; exit 1; }

image: ## Build the container image, with docker, podman or buildah
	docker/build.sh $(BUILD_FLAGS)

test-image: .venv-dev/ready .venv/ready ## Build the image, run it as Cloud Run would, and test it from outside
	$(DEV)/python -m pytest tests/image $(ARGS)

test-deploy: .venv-dev/ready .venv/ready ## Run the deploy scripts with the real gcloud, against a simulator of Google's APIs
	$(DEV)/python -m pytest tests/deploy -n 2 --dist loadfile $(ARGS)

sbom: image .venv-dev/ready ## List what the image holds, as CycloneDX, in sbom.json
	docker/sbom.sh sbom.json

# Read by docker/build.sh; `make test-image PYTHON_IMAGE=mirror/python:3.13-slim BUILD_FLAGS="--network host"`
export IMAGE PYTHON_IMAGE MODEL ENGINE BUILD_FLAGS

# wrk and slowhttptest are Debian's; what needs them says so.
bench: .venv-dev/ready .venv/ready ## Compare with other servers, about 15 minutes; ARGS="--quick" for a first look
	@$(DEV)/python -m bench $(ARGS)

soak: .venv-dev/ready .venv/ready ## Slow clients, overload, restarts, leaks, about 10 minutes; ARGS="--quick"
	@$(DEV)/python -m bench.soak $(ARGS)

test-load: .venv-dev/ready .venv/ready ## The same in short, as tests
	$(DEV)/python -m pytest tests/load $(ARGS)

lint: .venv-dev/ready ## Check style and format
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/hadolint Dockerfile
	$(DEV)/shellcheck --severity=warning $(SCRIPTS)
	$(DEV)/shfmt --diff --indent 2 --case-indent $(SCRIPTS)
	for script in $(SCRIPTS); do bash -n $$script || exit; done
SCRIPTS = .ci/run $(wildcard deploy/*.sh deploy/*/*.sh docker/*.sh)

format: .venv-dev/ready ## Mend what lint can mend
	$(DEV)/ruff check --fix .
	$(DEV)/ruff format .
	$(DEV)/shfmt --write --indent 2 --case-indent $(SCRIPTS)

lock: .venv-dev/ready ## Pin the newest dependencies, with hashes
	$(DEV)/uv pip compile $(LOCK) -o requirements.txt
	$(DEV)/uv pip compile $(LOCK) --extra train -o requirements-train.txt
	$(DEV)/uv pip compile $(LOCK) --extra train --extra dev -o requirements-dev.txt
	for peer in fastapi litserve; do $(DEV)/uv pip compile $(subst pyproject.toml,bench/peers/$$peer/requirements.in,$(LOCK)) \
		-c requirements.txt -o bench/peers/$$peer/requirements.txt; done
LOCK = -q -U pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

clean: ## Remove the environments
	rm -rf .venv .venv-dev bench/.made

# An environment is made anew when its pinned list changes; "ready" is written last, so a half-made one does not count.
.venv/ready: requirements.txt
	@echo "Installing what serving needs into .venv (about 10 s) ..."
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@.venv/bin/python $(PIP) -r requirements.txt
	@touch $@

.venv-dev/ready: requirements-dev.txt
	@echo "Installing TensorFlow and the test tools into .venv-dev (1.9 GB, a minute or two) ..."
	@rm -rf .venv-dev && $(PYTHON) -m venv .venv-dev
	@.venv-dev/bin/python $(PIP) -r requirements-dev.txt
	@touch $@

tests/browser/node_modules/.package-lock.json: tests/browser/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: apt-get install npm" >&2; exit 1; }
	@npm ci --silent --ignore-scripts --prefix tests/browser
	@touch $@
