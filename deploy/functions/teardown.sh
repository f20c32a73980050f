#!/usr/bin/env bash
# Remove from Cloud Run functions what deploy.sh made: the function with all its revisions, and the account that it ran as.
#
#   deploy/functions/teardown.sh [--env staging|production] [--yes] [--dry-run]
source "$(dirname "$0")/../common.sh"
begin functions teardown "$@"

remove_service "$SERVICE-function" "$SERVICE-function"
say "Also remaining: the uploaded sources in gs://run-sources-$PROJECT-$REGION and the built images in the repository cloud-run-source-deploy."
