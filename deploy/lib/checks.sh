# shellcheck shell=bash
# Checks before the first change.
#
# Sets:  ENABLED_APIS  the enabled APIs of the project, one a line
#        TAG           names the image: commit, bundle and uncommitted changes
#        RELEASE       names what runs: the image and all settings

check_tools() {
  local tool
  for tool in gcloud git python3; do
    command -v "$tool" >/dev/null && continue
    case $tool in
      gcloud) die "gcloud is not on PATH. Install the Google Cloud CLI: https://cloud.google.com/sdk/docs/install" ;;
      *) die "$tool is not on PATH. Install it." ;;
    esac
  done
}

# The caller is logged in and may read the project.
check_project() {
  ENABLED_APIS=$(gcloud services list --enabled --project="$PROJECT" --format='value(config.name)' 2>"$ERROR_FILE") || {
    cat "$ERROR_FILE" >&2
    die "could not read project $PROJECT (PROJECT in deploy/$ENVIRONMENT.env). $(hint)"
  }
}

# name_release: TAG is the commit, plus the bundle if git does not track it, plus a hash of uncommitted changes. RELEASE adds
# the settings. A release that is already deployed is not deployed again. Production accepts only committed files.
name_release() {
  local commit bundle changes
  commit=$(git rev-parse HEAD 2>/dev/null) || die "the current folder is not a git checkout with a commit. Releases are named after commits."
  bundle=$(bundle_version) || exit 1
  TAG=$commit
  if ! git ls-files --error-unmatch "$MODEL/model.json" >/dev/null 2>&1; then TAG+="-${MODEL#model/}-$bundle"; fi
  if [ -n "$(git status --porcelain)" ]; then
    [ "$ENVIRONMENT" = staging ] || die "uncommitted changes (git status). Commit or stash them before you deploy to production."
    changes=$({ git diff HEAD --binary && git ls-files -z --others --exclude-standard | xargs -0 cat; } | git hash-object --stdin)
    TAG+="-changed-${changes:0:8}"
  fi
  RELEASE=${commit:0:7}-$(echo "$TAG $bundle $(all_settings)" | git hash-object --stdin | cut -c1-5)
}

bundle_version() {
  local card=$MODEL/model.json
  if [ ! -f "$card" ] || [ ! -f "$MODEL/model.tflite" ]; then
    die "no bundle in $MODEL (MODEL in deploy/$ENVIRONMENT.env). Train one with --out $MODEL, or set MODEL=model/imagenet"
  fi
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' "$card" ||
    die "could not read $card. Train the bundle again."
}
