#!/usr/bin/env bash
# Remove from App Engine what deploy.sh made: the service with all its versions, and the account that it ran as.
#
#   deploy/gae/teardown.sh [--env staging|production] [--yes] [--dry-run]
source "$(dirname "$0")/../common.sh"
begin gae teardown "$@"

if exists gcloud app services list --project="$PROJECT" --filter="id=$SERVICE" --format='value(id)'; then
  to_remove "App Engine service $SERVICE with all its versions" gcloud app services delete "$SERVICE" --project="$PROJECT" --quiet
fi
to_remove_account "$SERVICE-gae"
remove_all
say "The App Engine application of a project, its location and its service default can never be deleted. They cost nothing: the"
say "default service is a static page. Uploads remain in gs://staging.$PROJECT.appspot.com, which deletes them after 15 days."
