#!/usr/bin/env bash
# Remove from App Engine what deploy.sh created: the service with all its versions, and its service account.
#
#   deploy/gae/teardown.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
begin gae teardown "$@"

if is_enabled appengine && exists gcloud app services list --project="$PROJECT" --filter="id=$SERVICE" --format='value(id)'; then
  list_removal "App Engine service $SERVICE with all its versions" gcloud app services delete "$SERVICE" --project="$PROJECT" --quiet
fi
list_account "$SERVICE-gae"
remove_listed
log "The App Engine application, its location and its service default cannot be deleted. They cost nothing: the default service"
log "is a static page. Uploads remain in gs://staging.$PROJECT.appspot.com, which deletes them after 15 days."
