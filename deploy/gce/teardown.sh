#!/usr/bin/env bash
# Remove from Compute Engine what deploy.sh created: the load balancer, the group, its templates, the network.
#
#   deploy/gce/teardown.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
source deploy/lib/network.sh
begin gce teardown "$@"
name_resources

if is_enabled compute; then # each resource is listed before the ones that it refers to
  list_resources "forwarding rule" forwarding-rules "name~^$NAME-http"
  list_resources "proxy" target-https-proxies "name=$NAME-https"
  list_resources "proxy" target-http-proxies "name=$NAME-http"
  list_resources "URL map" url-maps "name=($NAME $NAME-redirect)"
  list_resources "backend service" backend-services "name=$NAME"
  list_resources "group with all its instances" "instance-groups managed" "name=$NAME"
  list_resources "health check" health-checks "name=($NAME $NAME-alive)"
  list_resources "template" instance-templates "name~^$NAME-[0-9a-f]{7}-[0-9a-f]{5}$"
  list_resources "address" addresses "name=$NAME"
  list_network
fi
list_account "$NAME"
remove_listed
