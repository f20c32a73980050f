#!/usr/bin/env bash
# Remove from Cloud Run what deploy.sh made: the service with all its revisions, and the account that it ran as.
#
#   deploy/cloudrun/teardown.sh [--env staging|production] [--yes] [--dry-run]
source "$(dirname "$0")/../common.sh"
begin cloudrun teardown "$@"

remove_service "$SERVICE" "$SERVICE-run"
