# shellcheck shell=bash
# Candidate, promote and remove on Cloud Run. Cloud Run functions are Cloud Run services too.

# look_at NAME: what runs there?  SERVING: lines of "revision percent"; REVISION: this release's own, if it got ready before;
# OPEN: whether everybody may call.
look_at() {
  NAME=$1
  WHERE=(--region="$REGION" --project="$PROJECT")
  SERVING=$(ask gcloud run services list "${WHERE[@]}" --flatten='status.traffic[]' \
    --filter="metadata.name=$NAME AND status.traffic.percent>0" --format='value[separator=" "](status.traffic.revisionName,status.traffic.percent)') || exit 1
  REVISION=
  OPEN=false
  if [ -n "$SERVING" ]; then
    if is_public; then OPEN=true; fi
    REVISION=$(ask gcloud run revisions list --service="$NAME" "${WHERE[@]}" --flatten='status.conditions[]' --limit=1 \
      --filter="metadata.labels.release=$RELEASE AND status.conditions.type=Ready AND status.conditions.status=True" \
      --format='value(metadata.name)') || exit 1
  fi
}

serves() { [ "$SERVING" = "$REVISION 100" ]; }

# A name for the new revision. Names cannot be used again, and a revision that failed is replaced by the next try: hence the time.
name_revision() { REVISION=$NAME-$RELEASE-$(date -u +%H%M%S); }

is_public() {
  local members
  members=$(ask gcloud run services get-iam-policy "$NAME" "${WHERE[@]}" --flatten='bindings[].members' \
    --filter='bindings.role=roles/run.invoker AND bindings.members=allUsers' --format='value(bindings.members)') || exit 1
  [ -n "$members" ]
}

# Closing comes before everything else, opening after the test.
close_if_private() {
  if [ "$PUBLIC" = false ] && $OPEN; then
    step "PUBLIC=false: take the right to call from everybody"
    run gcloud run services remove-iam-policy-binding "$NAME" --member=allUsers --role=roles/run.invoker "${WHERE[@]}" --format=none ||
      die "could not close $NAME. $(cure)"
    OPEN=false
  fi
}

open_if_public() {
  if [ "$PUBLIC" = true ] && ! $OPEN; then
    step "PUBLIC=true: everybody may call"
    run gcloud run services add-iam-policy-binding "$NAME" --member=allUsers --role=roles/run.invoker "${WHERE[@]}" --format=none ||
      die "$NAME serves, but could not be opened. $(cure)"
  fi
}

# finish_revision: test the candidate, promote it and say where it is. Where this release serves already, test that.
finish_revision() {
  learn URL gcloud run services describe "$NAME" "${WHERE[@]}" --format='value(status.url)'
  if ! $OPEN; then learn_token "$URL"; fi # the audience is the service's own URL, never a tag's
  if serves; then
    say "$REVISION serves already: nothing to deploy."
    smoke "$URL" || die "$REVISION serves, but failed the smoke test at $URL. $(how_to_read_its_log)"
  else
    learn CANDIDATE gcloud run services list "${WHERE[@]}" --flatten='status.traffic[]' \
      --filter="metadata.name=$NAME AND status.traffic.tag=candidate" --format='value(status.traffic.url)'
    smoke "$CANDIDATE" || refuse "$REVISION failed the smoke test."
    step "Promote: all traffic to the revision that was tested, and to no other that may have come since"
    run gcloud run services update-traffic "$NAME" --to-revisions="$REVISION=100" --remove-tags=candidate "${WHERE[@]}" --format=none ||
      die "could not move the traffic to $REVISION. $(cure)"
  fi
  open_if_public
  show "$URL"
}

how_to_read_its_log() {
  echo "Its log: gcloud logging read 'resource.labels.revision_name=$REVISION' --project=$PROJECT --freshness=1h --order=asc"
}

# refuse WHY: the candidate gets no traffic.
refuse() {
  say "$(how_to_read_its_log)"
  if [ -n "$SERVING" ]; then die "$* It gets no traffic: $(echo "$SERVING" | cut -d' ' -f1 | tr '\n' ' ')goes on serving."; fi
  die "$* It was the first: the service stays private, and nothing else serves."
}
