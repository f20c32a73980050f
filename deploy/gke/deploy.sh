#!/usr/bin/env bash
# Deploy to GKE: an Autopilot cluster, the manifests of this release, a rolling update without downtime, and a smoke test through
# the Gateway. The previous release is restored if the new one does not become ready or fails the test.
#
#   deploy/gke/deploy.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
source deploy/lib/network.sh
source deploy/gke/steps.sh
begin gke deploy "$@"
check_cluster_tools
name_resources

ensure_apis container cloudresourcemanager compute artifactregistry cloudbuild iam
set_kubeconfig
ensure_image
ensure_cluster
ensure_address
ensure_certificate
get_credentials
replace_gateway
read_state
ensure_workload_identity
stage_manifests

step "Rolling update: a new pod is ready before an old one is deleted"
apply_manifests
run "${KUBECTL[@]}" rollout status deployment/quintet --timeout="${ROLLOUT_LIMIT}s" || {
  check_connected
  roll_back "$RELEASE did not become ready."
}
run "${KUBECTL[@]}" wait gateway/quintet --for=condition=Programmed --timeout="${ROLLOUT_LIMIT}s" ||
  die "the pods are ready, but the load balancer is not. Find out why: kubectl -n quintet describe gateway quintet"

if [ "$PUBLIC" = true ]; then
  smoke_test_public || roll_back "$RELEASE failed the smoke test."
  show_public_url
else
  capture_port port
  tunnel=("${KUBECTL[@]}" port-forward service/quintet "$port:80")
  smoke_test_tunnel "$port" "${tunnel[@]}" || roll_back "$RELEASE failed the smoke test."
  show_tunnel "gcloud container clusters get-credentials $NAME --region=$REGION --project=$PROJECT --dns-endpoint && kubectl --namespace=quintet port-forward service/quintet 8080:80"
fi
