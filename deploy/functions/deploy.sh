#!/usr/bin/env bash
# Deploy to Cloud Run functions: upload the source, let Google's buildpack build it, test a candidate, give it the traffic.
#
#   deploy/functions/deploy.sh [--env staging|production] [--yes] [--dry-run]
source "$(dirname "$0")/../common.sh"
begin functions deploy "$@"

need_apis run artifactregistry cloudbuild iam
look_at "$SERVICE-function" # Cloud Run services and functions share their names
close_if_private

if [ -z "$REVISION" ]; then
  need_account "$SERVICE-function" "Runs $SERVICE as a function"
  need_builder
  name_revision

  step "The folder to upload: main.py and requirements.txt at its root, the app, the bundle"
  learn WORK mktemp -d
  run mkdir "$WORK/model"
  run cp -R deploy/functions/main.py requirements.txt app "$WORK"
  run cp -R "$MODEL" "$WORK/model"
  # gcloud would else look for a .gitignore
  write "$WORK/.gcloudignore" "$(printf '%s\n' __pycache__/ model.keras .gcloudignore)"

  step "Candidate $REVISION"
  if [ -z "$SERVING" ]; then
    # The first revision cannot wait without traffic; but the service is private, so nobody gets to see it.
    CANDIDATE_FLAGS=(--no-allow-unauthenticated)
  else
    CANDIDATE_FLAGS=(--no-traffic)
  fi
  run gcloud run deploy "$NAME" --source="$WORK" --function=quintet --base-image=python313 "${WHERE[@]}" \
    --tag=candidate "${CANDIDATE_FLAGS[@]}" \
    --revision-suffix="${REVISION#"$NAME"-}" --labels="release=$RELEASE" \
    --service-account="$(account "$SERVICE-function")" \
    --build-service-account="projects/$PROJECT/serviceAccounts/$(account "$BUILDER")" \
    --cpu="$CPU" --memory="$MEMORY" --concurrency="$CONCURRENCY" --min="$MIN_INSTANCES" --max-instances="$MAX_INSTANCES" \
    --cpu-boost --timeout=60 --execution-environment=gen2 \
    --startup-probe=httpGet.path=/ready,periodSeconds=1,timeoutSeconds=1,failureThreshold=120 \
    --set-env-vars="MODEL=$MODEL,LOG_FORMAT=json,WORKERS=$CPU" ||
    refuse "$REVISION was not built or did not get ready. $(cure)"
elif ! serves; then
  step "Candidate $REVISION, deployed before but not promoted"
  run gcloud run services update-traffic "$NAME" --update-tags="candidate=$REVISION" "${WHERE[@]}" --format=none ||
    die "could not tag $REVISION. $(cure)"
fi

finish_revision
