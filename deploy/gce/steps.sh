# shellcheck shell=bash
# The steps of a deployment to Compute Engine: the group of instances and what it needs.
#
# Sets:  GROUP     the gcloud command for instance groups
#        TEMPLATE  the instance template of this release
#        PREVIOUS  the template that the group runs; empty if there is no group
#        SIZES     the group's autoscaling limits, "MIN MAX"; empty if there are none

GROUP=(gcloud compute instance-groups managed)

read_state() {
  local state
  TEMPLATE=$NAME-$RELEASE
  state=$(query "${GROUP[@]}" describe "$NAME" --region="$REGION" --project="$PROJECT" \
    --format='value[separator=" "](versions[0].instanceTemplate.basename(),autoscaler.autoscalingPolicy.minNumReplicas,autoscaler.autoscalingPolicy.maxNumReplicas)') || exit 1
  read -r PREVIOUS SIZES <<<"$state"
}

# ensure_prerequisites: everything that a group needs. If the group exists, all of it exists.
ensure_prerequisites() {
  ensure_account "$NAME" "Runs $SERVICE on Compute Engine"
  ensure_role "$NAME" roles/artifactregistry.reader
  ensure_role "$NAME" roles/logging.logWriter
  ensure_network
  ensure_firewall_rule "$NAME-probes" 35.191.0.0/16,130.211.0.0/22 # Google's load balancers and health checks
  ensure_health_check "$NAME-alive" --global --check-interval=10s --timeout=5s --healthy-threshold=1 --unhealthy-threshold=6
}

# ensure_firewall_rule NAME RANGES: allow connections from these ranges to the app's port.
ensure_firewall_rule() {
  if exists gcloud compute firewall-rules describe "$1" --project="$PROJECT" --format='value(name)'; then return; fi
  step "Firewall rule $1"
  run gcloud compute firewall-rules create "$1" --network="$NAME" --allow=tcp:8080 --source-ranges="$2" \
    --target-service-accounts="$(account_email "$NAME")" --project="$PROJECT" || die "could not create the firewall rule. $(hint)"
}

# ensure_health_check NAME SCOPE FLAGS...: a health check on /ready.
ensure_health_check() {
  local check=$1 scope=$2
  shift 2
  if exists gcloud compute health-checks describe "$check" "$scope" --project="$PROJECT" --format='value(name)'; then return; fi
  run gcloud compute health-checks create http "$check" --port=8080 --request-path=/ready "$@" "$scope" --project="$PROJECT" ||
    die "could not create the health check. $(hint)"
}

# ensure_template: defines the instances of this release. Templates cannot be changed.
ensure_template() {
  local user_data
  if exists gcloud compute instance-templates describe "$TEMPLATE" --project="$PROJECT" --format='value(name)'; then return; fi
  step "Template $TEMPLATE"
  make_work_folder
  user_data=$(render deploy/gce/cloud-init.yaml REGISTRY="$REGION-docker.pkg.dev")
  write_file "$WORK/cloud-init.yaml" "$user_data"
  run gcloud compute instance-templates create "$TEMPLATE" --machine-type="$GCE_MACHINE" \
    --image-family=cos-stable --image-project=cos-cloud --boot-disk-size=10GB --boot-disk-type=pd-balanced \
    --network="$NAME" --subnet="$NAME" --region="$REGION" --no-address \
    --service-account="$(account_email "$NAME")" --scopes=cloud-platform \
    --metadata=google-logging-enabled=true,block-project-ssh-keys=true,cos-update-strategy=update_disabled \
    --metadata-from-file=user-data="$WORK/cloud-init.yaml" \
    --shielded-secure-boot --shielded-vtpm --shielded-integrity-monitoring --labels=release="$RELEASE" --project="$PROJECT" ||
    die "could not create the template. $(hint)"
}

# start_update TEMPLATE: replace the instances one after the other. In a regional group the surge is at least one for each zone.
start_update() {
  run "${GROUP[@]}" rolling-action start-update "$NAME" --version="template=$1" --max-surge=3 --max-unavailable=0 \
    --region="$REGION" --project="$PROJECT" --format=none
}

ensure_group() {
  if [ -z "$PREVIOUS" ]; then
    step "Group of instances: an unhealthy instance is replaced, two minutes after its start at the earliest"
    run "${GROUP[@]}" create "$NAME" --template="$TEMPLATE" --size="$MIN_REPLICAS" --base-instance-name="$NAME" \
      --health-check="$NAME-alive" --initial-delay=120 --region="$REGION" --project="$PROJECT" ||
      die "could not create the group. $(hint)"
  else
    step "Rolling update: new instances are ready before old ones are deleted"
    start_update "$TEMPLATE" || die "could not start the update. $(hint)"
  fi
}

ensure_autoscaling() {
  if [ "$SIZES" = "$MIN_REPLICAS $MAX_INSTANCES" ]; then return; fi
  step "Autoscaling from $MIN_REPLICAS to $MAX_INSTANCES instances, by CPU"
  run "${GROUP[@]}" set-autoscaling "$NAME" --min-num-replicas="$MIN_REPLICAS" --max-num-replicas="$MAX_INSTANCES" \
    --target-cpu-utilization=0.6 --cool-down-period=60 --region="$REGION" --project="$PROJECT" --format=none ||
    die "could not set the autoscaling. $(hint)"
}

# wait_until STATE: stable or version-target-reached.
wait_until() {
  run "${GROUP[@]}" wait-until "$NAME" "--$1" --timeout="$ROLLOUT_LIMIT" --region="$REGION" --project="$PROJECT"
}

# prune_templates: keep the five newest templates; a project may have a few hundred.
prune_templates() {
  local templates template kept=0
  templates=$(query gcloud compute instance-templates list --project="$PROJECT" --filter="name~^$NAME-[0-9a-f]{7}-[0-9a-f]{5}$" \
    --sort-by=~creationTimestamp --format='value(name)') || exit 1
  for template in $templates; do
    kept=$((kept + 1))
    if [ "$kept" -le 5 ] || [ "$template" = "$TEMPLATE" ] || [ "$template" = "$PREVIOUS" ]; then continue; fi
    run gcloud compute instance-templates delete "$template" --project="$PROJECT" --quiet || log "Warning: could not delete the template $template."
  done
}

# roll_back REASON: restore the previous template and end the script.
roll_back() {
  log "$* Read the logs: gcloud logging read 'resource.type=gce_instance AND labels.\"compute.googleapis.com/resource_name\":$NAME' --project=$PROJECT --freshness=1h"
  if [ -z "$PREVIOUS" ]; then
    die "it was the first release, so there is none to restore. Fix the problem and deploy again, or remove it: deploy/gce/teardown.sh --env $ENVIRONMENT"
  fi
  if [ "$PREVIOUS" = "$TEMPLATE" ]; then die "$TEMPLATE was already deployed, so there is no other release to restore."; fi
  step "Roll back to $PREVIOUS"
  { start_update "$PREVIOUS" && wait_until version-target-reached; } || die "could not roll back to $PREVIOUS. $(hint)"
  die "rolled back to $PREVIOUS, which was never interrupted."
}
