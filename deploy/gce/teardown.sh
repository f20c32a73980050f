#!/usr/bin/env bash
# Remove from Compute Engine what deploy.sh made, from the front: the balancer, the group, its templates, the network.
#
#   deploy/gce/teardown.sh [--env staging|production] [--yes] [--dry-run]
source "$(dirname "$0")/../common.sh"
begin gce teardown "$@"
name_machines

if is_enabled compute; then
  to_remove_all "forwarding rule" forwarding-rules "name~^$NAME-http"
  to_remove_all "proxy" target-https-proxies "name=$NAME-https"
  to_remove_all "proxy" target-http-proxies "name=$NAME-http"
  to_remove_all "URL map" url-maps "name=($NAME $NAME-redirect)"
  to_remove_all "backend service" backend-services "name=$NAME"
  to_remove_all "group with all its instances" "instance-groups managed" "name=$NAME"
  to_remove_all "health check" health-checks "name=($NAME $NAME-alive)"
  to_remove_all "template" instance-templates "name~^$NAME-[0-9a-f]{7}-[0-9a-f]{5}$"
  to_remove_network
fi
to_remove_account "$NAME"
remove_all
