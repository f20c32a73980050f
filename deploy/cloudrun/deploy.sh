#!/usr/bin/env bash
# Deploy to Cloud Run: build the image once, run it as a candidate without traffic, test that, then give it the traffic.
#
#   deploy/cloudrun/deploy.sh [--env staging|production] [--yes] [--dry-run]
source "$(dirname "$0")/../common.sh"
begin cloudrun deploy "$@"

need_apis run artifactregistry cloudbuild iam
look_at "$SERVICE"
close_if_private

if [ -z "$REVISION" ]; then
  need_account "$SERVICE-run" "Runs $SERVICE on Cloud Run"
  RUNNER=$(account "$SERVICE-run")
  need_image
  name_revision
  if [ -z "$SERVING" ]; then
    # The first revision of a service cannot wait without traffic; but a new service is private, so nobody gets to see it.
    TRAFFIC="[{latestRevision: true, percent: 100, tag: candidate}]"
  else
    TRAFFIC="[$(sed -E 's/(.*) (.*)/{revisionName: \1, percent: \2}, /' <<<"$SERVING" | tr -d '\n'){revisionName: $REVISION, percent: 0, tag: candidate}]"
  fi
  step "Candidate $REVISION"
  learn WORK mktemp -d
  rendered=$(render deploy/cloudrun/service.yaml)
  write "$WORK/service.yaml" "$rendered"
  run gcloud run services replace "$WORK/service.yaml" "${WHERE[@]}" || refuse "$REVISION did not get ready. $(cure)"
elif ! serves; then
  step "Candidate $REVISION, deployed before but not promoted"
  run gcloud run services update-traffic "$NAME" --update-tags="candidate=$REVISION" "${WHERE[@]}" --format=none ||
    die "could not tag $REVISION. $(cure)"
fi

finish_revision
