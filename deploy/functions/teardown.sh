#!/usr/bin/env bash
# Remove from Cloud Run functions what deploy.sh created: the function with all its revisions, and its service account.
#
#   deploy/functions/teardown.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
begin functions teardown "$@"

remove_service "$SERVICE-function" "$SERVICE-function"
log "Not removed either: the uploaded sources in gs://run-sources-$PROJECT-$REGION and the built images in the repository cloud-run-source-deploy."
