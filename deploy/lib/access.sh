# shellcheck shell=bash
# Who may call, and the smoke test as somebody who may.

# learn_token AUDIENCE: SMOKE_TOKEN, an identity token that Cloud Run accepts. Google signs one with a chosen audience only for
# service accounts; a person's own token has gcloud's audience, which Cloud Run takes as well.
learn_token() {
  if [ "$INVOKER" != - ]; then
    learn SMOKE_TOKEN gcloud auth print-identity-token --impersonate-service-account="$INVOKER" --audiences="$1" --include-email
  elif [[ $ACCOUNT == *.gserviceaccount.com ]]; then
    learn SMOKE_TOKEN gcloud auth print-identity-token --audiences="$1"
  else
    learn SMOKE_TOKEN gcloud auth print-identity-token
  fi
  export SMOKE_TOKEN
  if $DRY_RUN; then echo "export SMOKE_TOKEN"; fi
}

# smoke URL: readiness, the page, and every sample picture against its expected label.
smoke() {
  step "Smoke test"
  run python3 deploy/smoke.py "$1" --bundle="$MODEL" --wait="${SMOKE_WAIT:-60}"
}

# How to call what was deployed.
show() {
  local url=$1 sample
  sample=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1] + "/model.json"))["samples"][0]["file"])' "$MODEL")
  if $DRY_RUN; then return; fi
  say "$RELEASE serves at $url"
  if [ "$PUBLIC" = true ]; then
    echo "curl -F file=@$MODEL/$sample $url/predict"
  else
    echo "curl -H \"Authorization: Bearer \$(gcloud auth print-identity-token)\" -F file=@$MODEL/$sample $url/predict"
  fi
}
