#!/usr/bin/env bash
# Deploy to GKE: an Autopilot cluster, the manifests of this release, a rolling update in which nothing is unavailable, a
# smoke test through the Gateway, and back to the version before if it does not get ready or fails the test.
#
#   deploy/gke/deploy.sh [--env staging|production] [--yes] [--dry-run]
source "$(dirname "$0")/../common.sh"
source deploy/gke/steps.sh
begin gke deploy "$@"
check_cluster_tools
name_machines

need_apis container compute artifactregistry cloudbuild iam
learn WORK mktemp -d
own_kubeconfig
need_image
RUNNER=$(account "$NAME")
CLUSTER_EXISTS=true
if ! has_cluster; then
  CLUSTER_EXISTS=false
  need_cluster
fi
need_address
need_certificate
use_cluster
drop_other_gateway
look_at_deployment
stage

step "Rolling update: a new pod is ready before an old one goes"
apply
run "${KUBECTL[@]}" rollout status deployment/quintet --timeout="${ROLLOUT_LIMIT:-900}s" || undo "$RELEASE did not get ready."
run "${KUBECTL[@]}" wait gateway/quintet --for=condition=Programmed --timeout="${ROLLOUT_LIMIT:-900}s" ||
  die "the pods are ready, but the load balancer is not: kubectl -n quintet describe gateway quintet"

tunnel=()
if [ "$PUBLIC" = false ]; then
  learn_port
  tunnel=("${KUBECTL[@]}" port-forward service/quintet "$PORT:80")
fi
smoke_at "${tunnel[@]}" || undo "$RELEASE failed the smoke test."
show_balancer "${tunnel[@]}"
