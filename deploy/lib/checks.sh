# shellcheck shell=bash
# Everything that can be known before anything is changed.

check_tools() {
  local tool
  for tool in gcloud git python3; do
    command -v "$tool" >/dev/null && continue
    case $tool in
      gcloud) die "gcloud is not on PATH. Install the Google Cloud CLI: https://cloud.google.com/sdk/docs/install" ;;
      *) die "$tool is not on PATH: install it" ;;
    esac
  done
}

# gcloud is logged in, the project answers, and its enabled APIs are known.
check_project() {
  ENABLED_APIS=$(gcloud services list --enabled --project="$PROJECT" --format='value(config.name)' 2>"$ERRORS") || {
    cat "$ERRORS" >&2
    die "cannot look into project $PROJECT (PROJECT in deploy/$ENVIRONMENT.env). $(cure)"
  }
}

# COMMIT names what is deployed. Production takes nothing that is not committed.
check_commit() {
  COMMIT=$(git rev-parse --short=7 HEAD 2>/dev/null) || die "this is no git checkout with a commit, and releases are named after the commit"
  CHANGES=
  if [ -n "$(git status --porcelain)" ]; then
    [ "$ENVIRONMENT" = staging ] || die "there are changes that are not committed (git status): commit or stash them before production"
    CHANGES=$({ git diff HEAD --binary && git ls-files -z --others --exclude-standard | xargs -0 cat; } | git hash-object --stdin)
  fi
}

check_bundle() {
  local card=$MODEL/model.json
  [ -f "$card" ] && [ -f "$MODEL/model.tflite" ] ||
    die "there is no bundle in $MODEL (MODEL in deploy/$ENVIRONMENT.env). Train one with --out $MODEL, or set MODEL=model/imagenet"
  BUNDLE=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' "$card") ||
    die "$card cannot be read: train the bundle again"
}

# TAG names the image: the commit, and the bundle where it is not the committed one, and changes not committed.
# RELEASE names what runs: the image and every setting. The same release is never deployed twice.
name_release() {
  local commit
  commit=$(git rev-parse HEAD)
  TAG=$commit
  if ! git ls-files --error-unmatch "$MODEL/model.json" >/dev/null 2>&1; then TAG+="-${MODEL#model/}-$BUNDLE"; fi
  if [ -n "$CHANGES" ]; then TAG+="-changed-${CHANGES:0:8}"; fi
  RELEASE=$COMMIT-$(echo "$TAG $BUNDLE $(all_settings)" | git hash-object --stdin | cut -c1-5)
}
