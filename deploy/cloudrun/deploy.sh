#!/usr/bin/env bash
# Deploy to Cloud Run: build the image once, run it as a candidate without traffic, test it, then move the traffic to it.
#
#   deploy/cloudrun/deploy.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
source deploy/lib/revision.sh

# replace_service: run the revision that service.yaml describes.
replace_service() {
  local manifest
  manifest=$(render deploy/cloudrun/service.yaml RUN_ACCOUNT="$(account_email "$SERVICE-run")" TRAFFIC="$(traffic_targets)" \
    INGRESS="$(current_ingress)")
  write_file "$WORK/service.yaml" "$manifest"
  run_once gcloud run services replace "$WORK/service.yaml" --region="$REGION" --project="$PROJECT"
}

begin cloudrun deploy "$@"

ensure_apis run cloudresourcemanager artifactregistry cloudbuild iam
read_state "$SERVICE"
revoke_public_access

if [ -z "$REVISION" ]; then
  ensure_account "$SERVICE-run" "Runs $SERVICE on Cloud Run"
  check_changes
  ensure_image
  make_work_folder
  deploy_candidate replace_service
elif ! is_serving; then
  tag_candidate
fi

test_and_promote
