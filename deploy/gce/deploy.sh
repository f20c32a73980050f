#!/usr/bin/env bash
# Deploy to Compute Engine: a group of instances that run the image, behind a load balancer. A new release replaces the
# instances one after the other; the previous one is restored if it does not become ready or fails the smoke test.
#
#   deploy/gce/deploy.sh [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"
source deploy/lib/network.sh
source deploy/gce/steps.sh
source deploy/gce/balancer.sh
begin gce deploy "$@"
name_resources

ensure_apis compute cloudresourcemanager artifactregistry cloudbuild iam
revoke_public_access
if [ "$PUBLIC" = false ]; then ensure_apis iap; fi
read_state

if [ "$PREVIOUS" != "$TEMPLATE" ]; then
  if [ -z "$PREVIOUS" ]; then ensure_prerequisites; fi
  ensure_image
  ensure_template
  ensure_group
fi
ensure_autoscaling
ensure_address
ensure_certificate
ensure_balancer

step "Wait until all instances run this release and are ready"
{ wait_until version-target-reached && wait_until stable; } || {
  check_connected
  roll_back "$RELEASE did not become ready within $ROLLOUT_LIMIT s."
}

if [ "$PUBLIC" = true ]; then
  smoke_test_public || roll_back "$RELEASE failed the smoke test."
  show_public_url
else
  capture_port port
  capture instance "${GROUP[@]}" list-instances "$NAME" --region="$REGION" --project="$PROJECT" --limit=1 --format='value(instance.basename())'
  capture zone "${GROUP[@]}" list-instances "$NAME" --region="$REGION" --project="$PROJECT" --limit=1 --format='value(instance.scope().segment(0))'
  tunnel=(gcloud compute start-iap-tunnel "$instance" 8080 --local-host-port="localhost:$port" --zone="$zone" --project="$PROJECT")
  smoke_test_tunnel "$port" "${tunnel[@]}" || roll_back "$RELEASE failed the smoke test."
  show_tunnel "gcloud compute start-iap-tunnel $instance 8080 --local-host-port=localhost:8080 --zone=$zone --project=$PROJECT"
fi
prune_templates
