#!/usr/bin/env bash
# Deploy to App Engine: upload a version without traffic, test it at its own URL, then move the traffic to it.
#
#   deploy/gae/deploy.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
source deploy/gae/steps.sh
begin gae deploy "$@"
check_host_name
check_invoker

ensure_apis appengine cloudresourcemanager cloudbuild iam
if [ "$GAE_ENVIRONMENT" = flexible ]; then ensure_apis appengineflex artifactregistry; fi
ensure_app
ensure_iap
ensure_account "$SERVICE-gae" "Runs $SERVICE on App Engine"
read_state

if ! $IS_DEPLOYED; then
  make_work_folder
  ensure_placeholder default
  ensure_placeholder "$SERVICE"
  if [ "$GAE_ENVIRONMENT" = standard ]; then stage_standard; else stage_flexible; fi
  deploy_candidate
fi

capture candidate_url gcloud app versions describe "$RELEASE" --service="$SERVICE" --project="$PROJECT" --format='value(versionUrl)'
if [ "$PUBLIC" = false ]; then capture_iap_token "$candidate_url"; fi
smoke_seconds=$SMOKE_LIMIT
if [ "$PUBLIC" = false ]; then smoke_seconds=$PROPAGATION_LIMIT; fi # the grant on Identity-Aware Proxy takes minutes
smoke_test "$candidate_url" "$smoke_seconds" || reject_candidate "version $RELEASE failed the smoke test at $candidate_url."

if [ "$SERVING" != "$RELEASE" ]; then
  step "Promote: move all traffic to the tested version"
  run gcloud app services set-traffic "$SERVICE" --splits="$RELEASE=1" --project="$PROJECT" --quiet ||
    die "could not move the traffic to $RELEASE. $(hint)"
  stop_previous
  prune_versions
fi

capture host gcloud app describe --project="$PROJECT" --format='value(defaultHostname)'
if [ "$PUBLIC" = true ]; then
  show_url "https://$SERVICE-dot-$host"
else
  log "$RELEASE is deployed at https://$SERVICE-dot-$host, for users that you grant access:"
  quote gcloud iap web add-iam-policy-binding --resource-type=app-engine --service="$SERVICE" --project="$PROJECT" \
    --member=user:somebody@example.com --role=roles/iap.httpsResourceAccessor | sed 's/^/# /'
fi
