#!/usr/bin/env bash
# Deploy to Cloud Run functions: upload the source, let Google's buildpack build it, test a candidate, then move the traffic to it.
#
#   deploy/functions/deploy.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
source deploy/lib/revision.sh

# stage_source: WORK contains main.py and requirements.txt, the app and the bundle.
stage_source() {
  step "Folder to upload"
  make_work_folder
  run mkdir "$WORK/model"
  run cp -R deploy/functions/main.py requirements.txt app "$WORK"
  run cp -R "$MODEL" "$WORK/model"
  # Without a .gcloudignore, gcloud would look for a .gitignore.
  write_file "$WORK/.gcloudignore" "$(printf '%s\n' __pycache__/ model.keras .gcloudignore)"
}

# deploy_function: the first revision of a service cannot be created without traffic, but a new service is private.
deploy_function() {
  local traffic_flag=--no-traffic
  if [ -z "$SERVING" ]; then traffic_flag=--no-allow-unauthenticated; fi
  run_once gcloud run deploy "$NAME" --source="$WORK" --function=quintet --base-image=python313 --region="$REGION" --project="$PROJECT" \
    --tag=candidate "$traffic_flag" --ingress="$(current_ingress)" \
    --revision-suffix="${REVISION#"$NAME"-}" --labels="release=$RELEASE" \
    --service-account="$(account_email "$SERVICE-function")" --build-service-account="$(build_account)" \
    --cpu="$CPU" --memory="$MEMORY" --concurrency="$CONCURRENCY" --min="$MIN_INSTANCES" --max-instances="$MAX_INSTANCES" \
    --cpu-boost --timeout=60 --execution-environment=gen2 \
    --startup-probe=httpGet.path=/ready,periodSeconds=1,timeoutSeconds=1,failureThreshold=120 \
    --set-env-vars="MODEL=$MODEL,LOG_FORMAT=json,WORKERS=$CPU"
}

begin functions deploy "$@"

ensure_apis run cloudresourcemanager artifactregistry cloudbuild iam
read_state "$SERVICE-function" # Cloud Run services and functions share one namespace
revoke_public_access

if [ -z "$REVISION" ]; then
  ensure_account "$SERVICE-function" "Runs $SERVICE as a function"
  ensure_build_account
  stage_source
  deploy_candidate deploy_function
elif ! is_serving; then
  tag_candidate
fi

test_and_promote
