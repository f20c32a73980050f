#!/usr/bin/env bash
# Deploy to App Engine: upload a version that gets no traffic, test it at its own URL, then move the traffic.
#
#   deploy/gae/deploy.sh [--env staging|production] [--yes] [--dry-run]
source "$(dirname "$0")/../common.sh"
source deploy/gae/steps.sh
begin gae deploy "$@"
check_host
check_access

need_apis appengine cloudbuild iam
if [ "$GAE_ENVIRONMENT" = flexible ]; then need_apis appengineflex artifactregistry; fi
learn_location
need_app
need_guard
need_account "$SERVICE-gae" "Runs $SERVICE on App Engine"
look_at_versions

if [ -z "$DEPLOYED" ]; then
  step "The folder to upload"
  learn WORK mktemp -d
  need_placeholder default
  need_placeholder "$SERVICE"
  candidate=(gcloud app deploy "$WORK/app.yaml" --version="$RELEASE" --no-promote --project="$PROJECT"
    --service-account="$(account "$SERVICE-gae")" --quiet)
  if [ "$GAE_ENVIRONMENT" = standard ]; then
    run cp -R requirements.txt gunicorn.conf.py app "$WORK"
    run mkdir "$WORK/model"
    run cp -R "$MODEL" "$WORK/model"
    rendered=$(render deploy/gae/app.yaml)
  else
    need_role "$SERVICE-gae" roles/artifactregistry.reader
    need_role "$SERVICE-gae" roles/logging.logWriter
    need_image
    candidate+=(--image-url="$IMAGE")
    GAE_INSTANCES=$((MIN_INSTANCES > 0 ? MIN_INSTANCES : 1))
    rendered=$(render deploy/gae/app.flex.yaml)
  fi
  write "$WORK/app.yaml" "$rendered"
  write "$WORK/.gcloudignore" "$(printf '%s\n' __pycache__/ model.keras .gcloudignore)"
  step "Candidate: version $RELEASE, without traffic"
  run "${candidate[@]}" || refuse_version "version $RELEASE was not built or did not get ready. $(cure)"
fi

learn CANDIDATE gcloud app versions describe "$RELEASE" --service="$SERVICE" --project="$PROJECT" --format='value(versionUrl)'
if [ "$PUBLIC" = false ]; then learn_iap_token "$CANDIDATE"; fi
smoke "$CANDIDATE" || refuse_version "version $RELEASE failed the smoke test at $CANDIDATE."

if [ "$SERVING" != "$RELEASE" ]; then
  step "Promote: all traffic to the version that was tested"
  run gcloud app services set-traffic "$SERVICE" --splits="$RELEASE=1" --project="$PROJECT" --quiet ||
    die "could not move the traffic to $RELEASE. $(cure)"
  stop_previous
fi
learn HOST gcloud app describe --project="$PROJECT" --format='value(defaultHostname)'
if [ "$PUBLIC" = true ]; then
  show "https://$SERVICE-dot-$HOST"
else
  say "$RELEASE serves at https://$SERVICE-dot-$HOST in a browser, to whom you let in:"
  quote gcloud iap web add-iam-policy-binding --resource-type=app-engine --service="$SERVICE" --project="$PROJECT" \
    --member=user:somebody@example.com --role=roles/iap.httpsResourceAccessor | sed 's/^/# /'
fi
