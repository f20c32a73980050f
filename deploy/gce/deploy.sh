#!/usr/bin/env bash
# Deploy to Compute Engine: instances that run the image, behind a load balancer; a new version replaces them one after the
# other, and the version before comes back if it gets sick or fails the smoke test.
#
#   deploy/gce/deploy.sh [--env staging|production] [--yes] [--dry-run]
source "$(dirname "$0")/../common.sh"
source deploy/gce/steps.sh
source deploy/gce/balancer.sh
begin gce deploy "$@"
name_machines

need_apis compute artifactregistry cloudbuild iam
close_if_private
if [ "$PUBLIC" = false ]; then need_apis iap; fi
look_at_group

if [ "$PREVIOUS" != "$TEMPLATE" ]; then
  if [ -z "$PREVIOUS" ]; then need_ground; fi
  need_image
  need_template
  need_group
fi
need_autoscaling
need_address
need_certificate
need_balancer

step "Wait until all instances run this release and are ready"
{ wait_until version-target-reached && wait_until stable; } || go_back "$RELEASE did not get ready within ${ROLLOUT_LIMIT:-900} s."

tunnel=()
if [ "$PUBLIC" = false ]; then
  learn_port
  learn INSTANCE "${GROUP[@]}" list-instances "$NAME" --region="$REGION" --project="$PROJECT" --limit=1 --format='value(instance.basename())'
  learn ZONE "${GROUP[@]}" list-instances "$NAME" --region="$REGION" --project="$PROJECT" --limit=1 --format='value(instance.scope().segment(0))'
  tunnel=(gcloud compute start-iap-tunnel "$INSTANCE" 8080 --local-host-port="localhost:$PORT" --zone="$ZONE" --project="$PROJECT")
fi
smoke_at "${tunnel[@]}" || go_back "$RELEASE failed the smoke test."
show_balancer "${tunnel[@]}"
