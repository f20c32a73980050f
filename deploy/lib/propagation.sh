# shellcheck shell=bash
# Retries of commands whose error is temporary.
#
# On a new project, an API that was enabled, an account that was created or a role that was granted a moment ago takes minutes to
# take effect everywhere. Until then Google's services answer as if it did not exist. The same errors are final if nothing was
# changed, so the run records its changes, and only errors that concern them are retried.
#
# Sets:  CHANGED     the APIs, accounts and so on that this run has changed: " NAME NAME ..."
#        CHANGED_AT  the time of the last change, in seconds since 1970

CHANGED=''
CHANGED_AT=0

# The limits and intervals of everything that the scripts wait for, in seconds. Tests shorten them; they are not settings.
: "${PROPAGATION_LIMIT:=420}" "${PROPAGATION_INTERVAL:=10}" # a change takes about 2 minutes, sometimes 7
: "${TRANSIENT_LIMIT:=120}" "${TRANSIENT_INTERVAL:=5}"      # concurrent changes, rate limits, unavailable services
: "${SMOKE_LIMIT:=60}"                                      # until a candidate is ready
: "${BALANCER_LIMIT:=600}"                                  # until a new load balancer answers
: "${TUNNEL_LIMIT:=180}"                                    # until the service answers through a tunnel; three attempts
: "${TUNNEL_INTERVAL:=1}"                                   # until a tunnel that was closed is opened again
: "${ROLLOUT_LIMIT:=900}"                                   # until a rolling update has finished
: "${REMOVAL_LIMIT:=900}" "${REMOVAL_INTERVAL:=10}"         # until nothing uses a resource that is removed

# record_change NAME...: an API, an account or another name that error messages contain.
record_change() {
  if $DRY_RUN; then return; fi
  CHANGED+=" $*"
  CHANGED_AT=$(date +%s)
}

# is_transient: whether the error in ERROR_FILE passes without any change.
is_transient() {
  grep -qE 'concurrent policy changes|ABORTED|RATE_LIMIT_EXCEEDED|RESOURCE_EXHAUSTED|Quota exceeded for quota metric|UNAVAILABLE|currently unavailable' "$ERROR_FILE"
}

# is_propagating: whether the error in ERROR_FILE concerns a change of this run: it names the change, or one of Google's own service
# agents, which are created when an API is enabled.
is_propagating() {
  local name
  if [ -z "$CHANGED" ]; then return 1; fi
  if grep -qE 'service-[0-9]+@|GAIA' "$ERROR_FILE"; then return 0; fi
  for name in $CHANGED; do
    if grep -qF -- "$name" "$ERROR_FILE" &&
      grep -qiE 'denied|does not (exist|have)|not.?found|permission|forbidden|disabled|has not been used' "$ERROR_FILE"; then return 0; fi
  done
  return 1
}

# wait_to_retry START: if the error in ERROR_FILE is temporary, wait for one interval; fail if it is final or the time is over.
# START is the time of the first attempt.
wait_to_retry() {
  local start=$1 remaining interval reason
  if is_transient; then
    reason="The service is busy" interval=$TRANSIENT_INTERVAL remaining=$((start + TRANSIENT_LIMIT))
  elif is_propagating; then
    reason="A change of this run has not taken effect yet" interval=$PROPAGATION_INTERVAL remaining=$((CHANGED_AT + PROPAGATION_LIMIT))
  else
    return 1
  fi
  remaining=$((remaining - $(date +%s)))
  if [ "$remaining" -le 0 ]; then return 1; fi
  log "$reason; retrying in $interval s, for at most $remaining s ..."
  sleep "$interval"
}

# retry COMMAND...: execute it until it succeeds or its error is final. If an attempt failed although it had created its resource,
# the next one finds that it exists.
retry() {
  local start failed=false
  start=$(date +%s)
  until execute "$@"; do
    if $failed && grep -qiE 'already.?exists' "$ERROR_FILE"; then return 0; fi
    failed=true
    wait_to_retry "$start" || return 1
  done
}
