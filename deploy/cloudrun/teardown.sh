#!/usr/bin/env bash
# Remove from Cloud Run what deploy.sh created: the service with all its revisions, and its service account.
#
#   deploy/cloudrun/teardown.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
begin cloudrun teardown "$@"

remove_service "$SERVICE" "$SERVICE-run"
