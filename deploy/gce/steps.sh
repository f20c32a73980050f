# shellcheck shell=bash
# The parts of a deployment to Compute Engine.

GROUP=(gcloud compute instance-groups managed)

# look_at_group: TEMPLATE of this release; PREVIOUS, the template that runs; SIZES, as "least most". Empty where there is no group.
look_at_group() {
  local found
  TEMPLATE=$NAME-$RELEASE
  found=$(ask "${GROUP[@]}" describe "$NAME" --region="$REGION" --project="$PROJECT" \
    --format='value[separator=" "](versions[0].instanceTemplate.basename(),autoscaler.autoscalingPolicy.minNumReplicas,autoscaler.autoscalingPolicy.maxNumReplicas)') || exit 1
  read -r PREVIOUS SIZES <<<"$found"
}

# need_ground: what a group stands on. Where there is a group, all of it is there.
need_ground() {
  need_account "$NAME" "Runs $SERVICE on Compute Engine"
  need_role "$NAME" roles/artifactregistry.reader
  need_role "$NAME" roles/logging.logWriter
  need_network
  need_rule "$NAME-probes" 35.191.0.0/16,130.211.0.0/22 # the balancer and its health checks, and nobody else
  need_check "$NAME-alive" --global --project="$PROJECT" -- --check-interval=10s --timeout=5s --healthy-threshold=1 --unhealthy-threshold=6
}

# need_rule NAME RANGES: a firewall rule that lets these ranges reach the app's port.
need_rule() {
  if exists gcloud compute firewall-rules describe "$1" --project="$PROJECT" --format='value(name)'; then return; fi
  step "Firewall rule $1"
  run gcloud compute firewall-rules create "$1" --network="$NAME" --allow=tcp:8080 --source-ranges="$2" \
    --target-service-accounts="$(account "$NAME")" --project="$PROJECT" || die "could not create the firewall rule. $(cure)"
}

# need_check NAME SCOPE... -- FLAGS...: a health check on /ready.
need_check() {
  local name=$1 scope=()
  shift
  until [ "$1" = -- ]; do scope+=("$1") && shift; done
  shift
  if exists gcloud compute health-checks describe "$name" "${scope[@]}" --format='value(name)'; then return; fi
  run gcloud compute health-checks create http "$name" --port=8080 --request-path=/ready "$@" "${scope[@]}" ||
    die "could not create the health check. $(cure)"
}

# need_template: how an instance of this release is made. Templates are never changed.
need_template() {
  if exists gcloud compute instance-templates describe "$TEMPLATE" --project="$PROJECT" --format='value(name)'; then return; fi
  step "Template $TEMPLATE"
  learn WORK mktemp -d
  rendered=$(render deploy/gce/cloud-init.yaml)
  write "$WORK/cloud-init.yaml" "$rendered"
  run gcloud compute instance-templates create "$TEMPLATE" --machine-type="$GCE_MACHINE" \
    --image-family=cos-stable --image-project=cos-cloud --boot-disk-size=10GB \
    --network="$NAME" --subnet="$NAME" --region="$REGION" --no-address \
    --service-account="$(account "$NAME")" --scopes=cloud-platform \
    --metadata=google-logging-enabled=true,block-project-ssh-keys=true,cos-update-strategy=update_disabled \
    --metadata-from-file=user-data="$WORK/cloud-init.yaml" \
    --shielded-secure-boot --shielded-vtpm --shielded-integrity-monitoring --labels=release="$RELEASE" --project="$PROJECT" ||
    die "could not create the template. $(cure)"
}

# roll TEMPLATE: replace the instances one after the other. In a regional group a surge is at least one a zone.
roll() {
  run "${GROUP[@]}" rolling-action start-update "$NAME" --version="template=$1" --max-surge=3 --max-unavailable=0 \
    --region="$REGION" --project="$PROJECT" --format=none
}

need_group() {
  if [ -z "$PREVIOUS" ]; then
    step "Group of instances: a sick one is replaced once it has had two minutes to start"
    run "${GROUP[@]}" create "$NAME" --template="$TEMPLATE" --size="$LEAST" --base-instance-name="$NAME" \
      --health-check="$NAME-alive" --initial-delay=120 --region="$REGION" --project="$PROJECT" ||
      die "could not create the group. $(cure)"
  else
    step "Rolling update: a new instance is ready before an old one goes"
    roll "$TEMPLATE" || die "could not start the update. $(cure)"
  fi
}

need_autoscaling() {
  if [ "$SIZES" = "$LEAST $MAX_INSTANCES" ]; then return; fi
  step "Autoscaling from $LEAST to $MAX_INSTANCES instances, by CPU"
  run "${GROUP[@]}" set-autoscaling "$NAME" --min-num-replicas="$LEAST" --max-num-replicas="$MAX_INSTANCES" \
    --target-cpu-utilization=0.6 --cool-down-period=60 --region="$REGION" --project="$PROJECT" --format=none ||
    die "could not set the autoscaling. $(cure)"
}

# wait_until STATE: stable or version-target-reached, with a limit.
wait_until() {
  run timeout "${ROLLOUT_LIMIT:-900}" "${GROUP[@]}" wait-until "$NAME" "--$1" --region="$REGION" --project="$PROJECT"
}

# go_back WHY: the template that ran before runs again.
go_back() {
  say "$* Its logs: gcloud logging read 'resource.type=gce_instance AND labels.\"compute.googleapis.com/resource_name\":$NAME' --project=$PROJECT --freshness=1h"
  if [ -z "$PREVIOUS" ]; then die "it was the first: nothing else serves. Mend it and deploy again, or: deploy/gce/teardown.sh --env $ENVIRONMENT"; fi
  if [ "$PREVIOUS" = "$TEMPLATE" ]; then die "$TEMPLATE was what ran before, too: there is nothing to go back to."; fi
  step "Back to $PREVIOUS"
  { roll "$PREVIOUS" && wait_until version-target-reached; } || die "could not go back to $PREVIOUS. $(cure)"
  die "$PREVIOUS serves again; it never stopped."
}
