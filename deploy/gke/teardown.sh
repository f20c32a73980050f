#!/usr/bin/env bash
# Remove from GKE what deploy.sh created. The Gateway is deleted before the cluster, because deleting a cluster leaves the load
# balancers of its Gateways behind. The address comes between them: it can be deleted only when no load balancer uses it any more.
#
#   deploy/gke/teardown.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
source deploy/lib/network.sh
source deploy/gke/steps.sh
begin gke teardown "$@"
check_cluster_tools
name_resources

status=
if is_enabled container; then
  status=$(query gcloud container clusters describe "$NAME" --region="$REGION" --project="$PROJECT" --format='value(status)') || exit 1
fi
case $status in
  RUNNING | RECONCILING | DEGRADED)
    list_removal "namespace quintet with the Gateway's load balancer" kubectl delete namespace quintet --ignore-not-found --timeout=10m
    set_kubeconfig
    get_credentials
    ;;
esac
if is_enabled compute; then list_resources "address" addresses "name=$NAME"; fi
if [ -n "$status" ]; then # a cluster that was never ready has no Gateway, and kubectl cannot reach it
  list_removal "cluster $NAME" gcloud container clusters delete "$NAME" --region="$REGION" --project="$PROJECT" --quiet
fi
if is_enabled compute; then list_network; fi
list_account "$NAME"
list_account "$NAME-nodes"
remove_listed
