# shellcheck shell=bash
# Candidate and promotion on Cloud Run. A Cloud Run function is a Cloud Run service, too.
#
# Sets:  NAME       the Cloud Run service
#        SERVING    the revisions that have traffic: lines of "REVISION PERCENT"; empty if there are none
#        REVISION   the revision of this release; empty if it does not exist or is not ready
#        IS_PUBLIC  true if everybody may call the service

# read_state NAME
read_state() {
  NAME=$1 REVISION='' IS_PUBLIC=false
  SERVING=$(query gcloud run services list --region="$REGION" --project="$PROJECT" --flatten='status.traffic[]' \
    --filter="metadata.name=$NAME AND status.traffic.percent>0 AND status.traffic.revisionName:*" --format='value[separator=" "](status.traffic.revisionName,status.traffic.percent)') || exit 1
  if [ -z "$SERVING" ]; then return; fi
  REVISION=$(query gcloud run revisions list --service="$NAME" --region="$REGION" --project="$PROJECT" --flatten='status.conditions[]' --limit=1 \
    --filter="metadata.labels.release=$RELEASE AND status.conditions.type=Ready AND status.conditions.status=True" \
    --format='value(metadata.name)') || exit 1
  if has_invoker_check_disabled || has_public_binding; then IS_PUBLIC=true; fi
}

# Cloud Run checks with IAM who calls a service, unless that check is disabled.
has_invoker_check_disabled() {
  exists gcloud run services list --region="$REGION" --project="$PROJECT" --format='value(metadata.name)' \
    --filter="metadata.name=$NAME AND metadata.annotations.\"run.googleapis.com/invoker-iam-disabled\":true"
}

# The other way to make a service public, which organization policies often forbid.
has_public_binding() {
  exists gcloud run services get-iam-policy "$NAME" --region="$REGION" --project="$PROJECT" --flatten='bindings[].members' \
    --filter='bindings.role=roles/run.invoker AND bindings.members=allUsers' --format='value(bindings.members)'
}

# current_ingress: INGRESS, or the value of the service if it is -.
current_ingress() {
  local ingress=$INGRESS
  if [ "$ingress" = - ]; then
    ingress=$(query gcloud run services describe "$NAME" --region="$REGION" --project="$PROJECT" \
      --format='value(metadata.annotations."run.googleapis.com/ingress")') || exit 1
  fi
  echo "${ingress:-all}"
}

# check_changes: `services replace` removes what service.yaml does not contain. Environment variables and annotations that somebody
# else added end the script.
check_changes() {
  local found name unknown=
  found=$(query gcloud run services describe "$NAME" --region="$REGION" --project="$PROJECT" \
    --format='value[separator=" "](spec.template.spec.containers[0].env[].name.list(separator=" "),spec.template.metadata.annotations.list(show=keys,separator=" "))') || exit 1
  for name in $found; do
    case $name in
      LOG_FORMAT | WEB_CONCURRENCY | autoscaling.knative.dev/maxScale | run.googleapis.com/execution-environment | \
        run.googleapis.com/startup-cpu-boost | run.googleapis.com/client-* | client.knative.dev/*) ;;
      *) unknown+=" $name" ;;
    esac
  done
  [ -z "$unknown" ] || die "the service $NAME has settings that deploy.sh would remove:$unknown. Add them to deploy/cloudrun/service.yaml, or remove them from the service."
}

is_serving() { [ "$SERVING" = "$REVISION 100" ]; }

# name_revision: names cannot be reused, and a revision that failed is replaced by a new one, so the name contains the time.
name_revision() { REVISION=$NAME-$RELEASE-$(date -u +%H%M%S); }

# revoke_public_access: if PUBLIC=false. Runs before the deployment; grant_public_access runs after the smoke test.
revoke_public_access() {
  if [ "$PUBLIC" = true ] || ! $IS_PUBLIC; then return; fi
  step "PUBLIC=false: revoke public access"
  run gcloud run services update "$NAME" --invoker-iam-check --region="$REGION" --project="$PROJECT" --format=none ||
    die "could not revoke public access to $NAME. $(hint)"
  if has_public_binding; then
    run gcloud run services remove-iam-policy-binding "$NAME" --member=allUsers --role=roles/run.invoker \
      --region="$REGION" --project="$PROJECT" --format=none || die "could not revoke public access to $NAME. $(hint)"
  fi
  IS_PUBLIC=false
}

grant_public_access() {
  if [ "$PUBLIC" = false ] || $IS_PUBLIC; then return; fi
  step "PUBLIC=true: grant public access"
  run gcloud run services update "$NAME" --no-invoker-iam-check --region="$REGION" --project="$PROJECT" --format=none ||
    die "$NAME is deployed, but could not be made public. $(hint)"
}

# traffic_targets: the `traffic` field of service.yaml. The serving revisions keep their traffic; the candidate gets a tag and no
# traffic. The first revision of a service cannot be created without traffic, but a new service is private.
traffic_targets() {
  local revision percent targets=
  if [ -z "$SERVING" ]; then
    echo "[{latestRevision: true, percent: 100, tag: candidate}]"
    return
  fi
  while read -r revision percent; do
    targets+="{revisionName: $revision, percent: $percent}, "
  done <<<"$SERVING"
  echo "[$targets{revisionName: $REVISION, percent: 0, tag: candidate}]"
}

# deploy_candidate COMMAND...: COMMAND creates REVISION. A revision that failed cannot be deployed again, so each retry has a new name.
deploy_candidate() {
  local start
  start=$(date +%s)
  while true; do
    name_revision
    step "Candidate $REVISION"
    if "$@"; then return; fi
    wait_to_retry "$start" || reject_candidate "$REVISION was not created or did not become ready. $(hint)"
  done
}

# tag_candidate: REVISION was deployed by an earlier run and not promoted. Give it its candidate URL again.
tag_candidate() {
  step "Candidate $REVISION: already deployed, not promoted yet"
  run gcloud run services update-traffic "$NAME" --update-tags="candidate=$REVISION" --region="$REGION" --project="$PROJECT" --format=none ||
    die "could not tag $REVISION. $(hint)"
}

# test_and_promote: test the candidate, move the traffic to it and print the URL. If it is serving already, only test it.
test_and_promote() {
  local url candidate token_header=
  capture url gcloud run services describe "$NAME" --region="$REGION" --project="$PROJECT" --format='value(status.url)'
  if ! $IS_PUBLIC; then capture_token "$url"; fi # the audience is the URL of the service, not of a tag
  if is_serving; then
    log "$REVISION is already serving; nothing to deploy."
    smoke_test "$url" || die "$REVISION is serving, but failed the smoke test at $url. $(log_command)"
  else
    capture candidate gcloud run services list --region="$REGION" --project="$PROJECT" --flatten='status.traffic[]' \
      --filter="metadata.name=$NAME AND status.traffic.tag=candidate" --format='value(status.traffic.url)'
    smoke_test "$candidate" || reject_candidate "$REVISION failed the smoke test."
    step "Promote: move all traffic to the tested revision"
    run gcloud run services update-traffic "$NAME" --to-revisions="$REVISION=100" --remove-tags=candidate \
      --region="$REGION" --project="$PROJECT" --format=none || die "could not move the traffic to $REVISION. $(hint)"
  fi
  grant_public_access
  # shellcheck disable=SC2016 # expanded by the reader's shell
  if [ "$PUBLIC" = false ]; then token_header='-H "Authorization: Bearer $(gcloud auth print-identity-token)"'; fi
  show_url "$url" "$token_header"
}

log_command() {
  echo "Read its log: gcloud logging read 'resource.labels.revision_name=$REVISION' --project=$PROJECT --freshness=1h --order=asc"
}

# reject_candidate REASON: end the script. The candidate has no traffic.
reject_candidate() {
  log "$(log_command)"
  if [ -z "$SERVING" ]; then die "$* It was the first revision: the service stays private and has no working revision."; fi
  die "$* The candidate got no traffic; still serving: $(cut -d' ' -f1 <<<"$SERVING" | paste -s -d' ' -)"
}
