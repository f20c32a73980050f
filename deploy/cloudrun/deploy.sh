#!/usr/bin/env bash
# Deploy to Cloud Run: build the image once, run it as a candidate without traffic, test it, then move the traffic to it.
#
#   deploy/cloudrun/deploy.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
source deploy/lib/revision.sh
begin cloudrun deploy "$@"

ensure_apis run artifactregistry cloudbuild iam
read_state "$SERVICE"
revoke_public_access

if [ -z "$REVISION" ]; then
  ensure_account "$SERVICE-run" "Runs $SERVICE on Cloud Run"
  ensure_image
  name_revision
  step "Candidate $REVISION"
  make_work_folder
  manifest=$(render deploy/cloudrun/service.yaml RUN_ACCOUNT="$(account_email "$SERVICE-run")" TRAFFIC="$(traffic_targets)")
  write_file "$WORK/service.yaml" "$manifest"
  run gcloud run services replace "$WORK/service.yaml" --region="$REGION" --project="$PROJECT" ||
    reject_candidate "$REVISION did not become ready. $(hint)"
elif ! is_serving; then
  tag_candidate
fi

test_and_promote
