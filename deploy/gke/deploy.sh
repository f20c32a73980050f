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
need_account "$NAME" "Runs $SERVICE on GKE"
RUNNER=$(account "$NAME") # without any role: the app needs nothing from Google Cloud
need_account "$NAME-nodes" "The machines under $SERVICE on GKE"
need_role "$NAME-nodes" roles/container.defaultNodeServiceAccount
need_role "$NAME-nodes" roles/artifactregistry.reader
need_image

need_network
need_address
need_certificate
need_cluster
need_identity
use_cluster
drop_other_gateway
stage

step "Rolling update: a new pod is ready before an old one goes"
apply
run "${KUBECTL[@]}" rollout status deployment/quintet --timeout="${ROLLOUT_LIMIT:-900}s" || undo "$RELEASE did not get ready."
run "${KUBECTL[@]}" wait gateway/quintet --for=condition=Programmed --timeout="${ROLLOUT_LIMIT:-900}s" ||
  die "the pods are ready, but the load balancer is not: kubectl -n quintet describe gateway quintet"

tunnel=()
if [ "$PUBLIC" = false ]; then tunnel=("${KUBECTL[@]}" port-forward service/quintet "$PORT:80"); fi
smoke_at "${tunnel[@]}" || undo "$RELEASE failed the smoke test."
show_balancer "${tunnel[@]}"
