# shellcheck shell=bash
# Identity tokens, and the smoke test with one.
#
# Sets:  SMOKE_TOKEN  exported; deploy/smoke.py sends it

# capture_token AUDIENCE: an identity token that Cloud Run accepts. Google issues tokens with a chosen audience only to service
# accounts. A user's token has gcloud's own audience, which Cloud Run accepts, too.
capture_token() {
  if [ "$INVOKER" != - ]; then
    capture SMOKE_TOKEN gcloud auth print-identity-token --impersonate-service-account="$INVOKER" --audiences="$1" --include-email
  elif [[ $(gcloud config get account 2>/dev/null) == *.gserviceaccount.com ]]; then
    capture SMOKE_TOKEN gcloud auth print-identity-token --audiences="$1"
  else
    capture SMOKE_TOKEN gcloud auth print-identity-token
  fi
  export_token
}

export_token() {
  export SMOKE_TOKEN
  if $DRY_RUN; then echo "export SMOKE_TOKEN"; fi
}

# run_smoke_test URL [SECONDS]: readiness, the page, and every sample image against its expected label. Waits until the URL is ready.
# The status is 1 if the service gives a wrong answer, 3 if it cannot be reached.
run_smoke_test() {
  step "Smoke test"
  run_once python3 deploy/smoke.py "$1" --bundle="$MODEL" --wait="${2:-$SMOKE_LIMIT}"
}

# check_reached STATUS URL: a service that cannot be reached may work, so its release is neither rejected nor rolled back.
check_reached() {
  if [ "$1" != 3 ]; then return "$1"; fi
  die "could not reach $2 from this machine, so $RELEASE was not tested. Nothing was rolled back. Check the network (and INGRESS, which may admit only internal requests) and run the same command again."
}

# check_connected: a command that could not reach Google says nothing about the release. End the script if ERROR_FILE says so.
check_connected() {
  if ! grep -qE 'Unable to connect to the server|connection refused|Connection refused|i/o timeout|no such host|TLS handshake timeout|ConnectionError|Max retries exceeded|Connection aborted|lost connection' "$ERROR_FILE"; then return; fi
  die "could not reach Google from this machine, so it is not known whether $RELEASE is ready. Nothing was rolled back. Check the network and run the same command again."
}

# smoke_test URL [SECONDS]
smoke_test() {
  local status=0
  run_smoke_test "$@" || status=$?
  check_reached "$status" "$1"
}

# show_url URL [HEADER]: print the URL and a command that classifies a sample image. HEADER is an option of curl.
show_url() {
  local sample
  if $DRY_RUN; then return; fi
  sample=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1] + "/model.json"))["samples"][0]["file"])' "$MODEL")
  log "$RELEASE is deployed at $1"
  echo "curl ${2:+$2 }-F file=@$MODEL/$sample $1/predict"
}
