# shellcheck shell=bash
# The steps of a deployment to GKE.
#
# Sets:  KUBECTL         the kubectl command, with the namespace
#        KUBECONFIG      exported; kubectl's configuration for this run only, so that the user's own is not changed
#        CLUSTER_EXISTS  true if the cluster existed before this run
#        PREVIOUS        the release that the Deployment runs; empty if there is none

KUBECTL=(kubectl --namespace=quintet)

check_cluster_tools() {
  command -v kubectl >/dev/null || die "kubectl is not on PATH. Install it: gcloud components install kubectl"
  command -v gke-gcloud-auth-plugin >/dev/null ||
    die "gke-gcloud-auth-plugin is not on PATH, and kubectl needs it to log in. Install it: gcloud components install gke-gcloud-auth-plugin (Debian and Ubuntu: apt-get install google-cloud-cli-gke-gcloud-auth-plugin)"
}

has_cluster() { exists gcloud container clusters describe "$NAME" --region="$REGION" --project="$PROJECT" --format='value(name)'; }

# ensure_cluster: an Autopilot cluster with private nodes, and everything that it needs. Its API is reached by its DNS name and
# protected by IAM. The pods' account has no role, because the app calls no Google API.
ensure_cluster() {
  CLUSTER_EXISTS=true
  if has_cluster; then return; fi
  CLUSTER_EXISTS=false
  ensure_account "$NAME" "Runs $SERVICE on GKE"
  ensure_account "$NAME-nodes" "The nodes of $SERVICE on GKE"
  ensure_role "$NAME-nodes" roles/container.defaultNodeServiceAccount
  ensure_role "$NAME-nodes" roles/artifactregistry.reader
  ensure_network
  step "Autopilot cluster $NAME: this takes about ten minutes"
  run gcloud container clusters create-auto "$NAME" --region="$REGION" --project="$PROJECT" --release-channel=regular \
    --network="$NAME" --subnetwork="$NAME" --enable-private-nodes --enable-dns-access \
    --service-account="$(account_email "$NAME-nodes")" || die "could not create the cluster. $(hint)"
  record_change "$PROJECT.svc.id.goog" # the pool of Workload Identity
}

# set_kubeconfig: before every gcloud command that writes kubectl's configuration; `clusters create` does, too.
set_kubeconfig() {
  make_work_folder
  export KUBECONFIG=$WORK/kubeconfig
  if $DRY_RUN; then echo "export KUBECONFIG=\"$KUBECONFIG\""; fi
}

get_credentials() {
  run gcloud container clusters get-credentials "$NAME" --region="$REGION" --project="$PROJECT" --dns-endpoint ||
    die "could not get the credentials of the cluster. $(hint)"
}

# ensure_workload_identity: before the first release, allow the pods' Kubernetes account to impersonate the Google account.
ensure_workload_identity() {
  local account member members
  if [ -n "$PREVIOUS" ]; then return; fi
  account=$(account_email "$NAME")
  member="serviceAccount:$PROJECT.svc.id.goog[quintet/quintet]"
  members=$(query gcloud iam service-accounts get-iam-policy "$account" --project="$PROJECT" --flatten='bindings[].members' \
    --filter='bindings.role=roles/iam.workloadIdentityUser' --format='value(bindings.members)') || exit 1
  if grep -qxF "$member" <<<"$members"; then return; fi
  run gcloud iam service-accounts add-iam-policy-binding "$account" --member="$member" --role=roles/iam.workloadIdentityUser \
    --project="$PROJECT" --format=none || die "could not bind the pods' account to $account. $(hint)"
}

read_state() {
  PREVIOUS=
  if ! $CLUSTER_EXISTS || $DRY_RUN; then return; fi
  PREVIOUS=$(query "${KUBECTL[@]}" get deployment quintet --ignore-not-found \
    --output=jsonpath='{.spec.template.metadata.labels.release}') || exit 1
}

# replace_gateway: a public load balancer cannot become an internal one, so a Gateway of the other class is deleted first.
replace_gateway() {
  local class wanted=gke-l7-global-external-managed
  if [ "$PUBLIC" = false ]; then wanted=gke-l7-rilb; fi
  if ! $CLUSTER_EXISTS || $DRY_RUN; then return; fi
  class=$(query "${KUBECTL[@]}" get gateway quintet --ignore-not-found --output=jsonpath='{.spec.gatewayClassName}') || exit 1
  if [ -z "$class" ] || [ "$class" = "$wanted" ]; then return; fi
  step "PUBLIC=$PUBLIC: delete the load balancer of the other kind"
  run "${KUBECTL[@]}" delete gateway quintet || die "could not delete the Gateway. $(hint)"
}

# stage_manifests: the manifests of this release, in WORK.
stage_manifests() {
  local components='' text
  step "Manifests with the image and settings of this release"
  if [ "$PUBLIC" = false ]; then components+=components/internal,; fi
  if [ -n "$CERTIFICATE" ]; then components+=components/https,; fi
  if $CERTIFICATE_ACTIVE; then components+=components/redirect,; fi
  run cp -R deploy/gke/base deploy/gke/overlays deploy/gke/components "$WORK"
  text=$(render deploy/gke/release.yaml COMPONENTS="${components%,}" IMAGE_NAME="${IMAGE%@*}" IMAGE_DIGEST="${IMAGE#*@}" \
    POD_ACCOUNT="$(account_email "$NAME")")
  write_file "$WORK/kustomization.yaml" "$text"
  text=$(render deploy/gke/components/https/kustomization.yaml)
  write_file "$WORK/components/https/kustomization.yaml" "$text"
}

# apply_manifests: server-side, so that fields which are no longer in the manifests are removed. `kubectl rollout undo` takes
# ownership of fields; --force-conflicts takes it back.
apply_manifests() {
  run kubectl apply --server-side --force-conflicts --field-manager=quintet --kustomize="$WORK" ||
    die "the cluster rejected the manifests; the previous release is still running. $(hint)"
  if $CERTIFICATE_ACTIVE || [ -z "$PREVIOUS" ]; then return; fi
  run "${KUBECTL[@]}" delete httproute redirect --ignore-not-found || die "could not delete the redirect. $(hint)"
}

# roll_back REASON: restore the previous release and end the script.
roll_back() {
  log "$* Find out why: kubectl -n quintet describe pods -l release=$RELEASE; kubectl -n quintet logs -l release=$RELEASE --tail=50"
  log "Access to the cluster: gcloud container clusters get-credentials $NAME --region=$REGION --project=$PROJECT --dns-endpoint"
  if [ -z "$PREVIOUS" ]; then
    die "it was the first release, so there is none to restore. Fix the problem and deploy again, or remove it: deploy/gke/teardown.sh --env $ENVIRONMENT"
  fi
  if [ "$PREVIOUS" = "$RELEASE" ]; then die "$RELEASE was already deployed, so there is no other release to restore."; fi
  step "Roll back to $PREVIOUS"
  run "${KUBECTL[@]}" rollout undo deployment/quintet || die "could not roll back. $(hint)"
  run "${KUBECTL[@]}" rollout status deployment/quintet --timeout="${ROLLOUT_LIMIT}s" || die "could not roll back to $PREVIOUS. $(hint)"
  die "rolled back to $PREVIOUS, which was never interrupted."
}
