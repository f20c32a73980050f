#!/usr/bin/env bash
# Remove from GKE what deploy.sh created. The Gateway is deleted before the cluster, because deleting a cluster leaves the load
# balancers of its Gateways behind.
#
#   deploy/gke/teardown.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
source deploy/lib/network.sh
source deploy/gke/steps.sh
begin gke teardown "$@"
check_cluster_tools
name_resources

if is_enabled container && has_cluster; then
  list_removal "namespace quintet with the Gateway's load balancer" kubectl delete namespace quintet --ignore-not-found --timeout=10m
  list_removal "cluster $NAME" gcloud container clusters delete "$NAME" --region="$REGION" --project="$PROJECT" --quiet
  set_kubeconfig
  get_credentials
fi
if is_enabled compute; then list_network; fi
list_account "$NAME"
list_account "$NAME-nodes"
remove_listed
