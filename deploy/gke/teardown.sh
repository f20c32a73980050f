#!/usr/bin/env bash
# Remove from GKE what deploy.sh made. The Gateway first: a cluster that is deleted with one leaves its load balancer behind.
#
#   deploy/gke/teardown.sh [--env staging|production] [--yes] [--dry-run]
source "$(dirname "$0")/../common.sh"
source deploy/gke/steps.sh
begin gke teardown "$@"
check_cluster_tools
name_machines

if is_enabled container && has_cluster; then
  to_remove "namespace quintet with the Gateway's load balancer" kubectl delete namespace quintet --ignore-not-found --timeout=10m
  to_remove "cluster $NAME" gcloud container clusters delete "$NAME" --region="$REGION" --project="$PROJECT" --quiet
  learn WORK mktemp -d
  own_kubeconfig
  use_cluster
fi
if is_enabled compute; then to_remove_network; fi
to_remove_account "$NAME"
to_remove_account "$NAME-nodes"
remove_all
