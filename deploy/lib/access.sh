# shellcheck shell=bash
# Who may call, and the smoke test as somebody who may.

# learn_token AUDIENCE: SMOKE_TOKEN, an identity token that Cloud Run accepts. Google signs one with a chosen audience only for
# service accounts; a person's own token has gcloud's audience, which Cloud Run takes as well.
learn_token() {
  if [ "$INVOKER" != - ]; then
    learn SMOKE_TOKEN gcloud auth print-identity-token --impersonate-service-account="$INVOKER" --audiences="$1" --include-email
  elif [[ $(gcloud config get account 2>/dev/null) == *.gserviceaccount.com ]]; then
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

# show URL: where it serves, and a command that proves it.
show() {
  local sample token=
  sample=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1] + "/model.json"))["samples"][0]["file"])' "$MODEL")
  if $DRY_RUN; then return; fi
  say "$RELEASE serves at $1"
  # shellcheck disable=SC2016 # for the reader's shell, not for this one
  if [ "$PUBLIC" = false ]; then token='-H "Authorization: Bearer $(gcloud auth print-identity-token)" '; fi
  echo "curl ${token}-F file=@$MODEL/$sample $1/predict"
}
