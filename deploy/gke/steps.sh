# shellcheck shell=bash
# The parts of a deployment to GKE.

KUBECTL=(kubectl --namespace=quintet)

check_cluster_tools() {
  command -v kubectl >/dev/null || die "kubectl is not on PATH. Install it: gcloud components install kubectl"
  command -v gke-gcloud-auth-plugin >/dev/null ||
    die "gke-gcloud-auth-plugin is not on PATH, and kubectl cannot log in without it. Install it: gcloud components install gke-gcloud-auth-plugin (Debian and Ubuntu: apt-get install google-cloud-cli-gke-gcloud-auth-plugin)"
}

has_cluster() { exists gcloud container clusters describe "$NAME" --region="$REGION" --project="$PROJECT" --format='value(name)'; }

# need_cluster: an Autopilot cluster whose machines have no public addresses, and what it stands on. Its API is reached by
# name and by IAM, from anywhere. The pods' account has no role: the app needs nothing from Google Cloud.
need_cluster() {
  need_account "$NAME" "Runs $SERVICE on GKE"
  need_account "$NAME-nodes" "The machines under $SERVICE on GKE"
  need_role "$NAME-nodes" roles/container.defaultNodeServiceAccount
  need_role "$NAME-nodes" roles/artifactregistry.reader
  need_network
  step "Autopilot cluster $NAME: this takes ten minutes"
  run gcloud container clusters create-auto "$NAME" --region="$REGION" --project="$PROJECT" --release-channel=regular \
    --network="$NAME" --subnetwork="$NAME" --enable-private-nodes --enable-dns-access \
    --service-account="$(account "$NAME-nodes")" || die "could not create the cluster. $(cure)"
}

# own_kubeconfig: kubectl's configuration for this run alone; yours stays as it is.
own_kubeconfig() {
  export KUBECONFIG=$WORK/kubeconfig
  if $DRY_RUN; then echo "export KUBECONFIG=\"$KUBECONFIG\""; fi
}

use_cluster() {
  run gcloud container clusters get-credentials "$NAME" --region="$REGION" --project="$PROJECT" --dns-endpoint ||
    die "could not get the cluster's credentials. $(cure)"
}

# need_identity: Workload Identity: the pods' Kubernetes account may stand for RUNNER.
need_identity() {
  local member="serviceAccount:$PROJECT.svc.id.goog[quintet/quintet]" members
  members=$(ask gcloud iam service-accounts get-iam-policy "$RUNNER" --project="$PROJECT" --flatten='bindings[].members' \
    --filter='bindings.role=roles/iam.workloadIdentityUser' --format='value(bindings.members)') || exit 1
  if grep -qxF "$member" <<<"$members"; then return; fi
  run gcloud iam service-accounts add-iam-policy-binding "$RUNNER" --member="$member" --role=roles/iam.workloadIdentityUser \
    --project="$PROJECT" --format=none || die "could not bind the pods' account. $(cure)"
}

# look_at_deployment: PREVIOUS, the release that runs. Empty before the first.
look_at_deployment() {
  PREVIOUS=
  if $CLUSTER_EXISTS && ! $DRY_RUN; then
    PREVIOUS=$(ask "${KUBECTL[@]}" get deployment quintet --ignore-not-found \
      --output=jsonpath='{.spec.template.metadata.labels.release}') || exit 1
  fi
  if [ -z "$PREVIOUS" ]; then need_identity; fi
}

# stage: the manifests of this release, in WORK.
stage() {
  local parts=() part rendered
  step "The manifests, with this release's image and settings"
  if [ "$PUBLIC" = false ]; then parts+=(components/internal); fi
  if [ -n "$CERTIFICATE" ]; then parts+=(components/https); fi
  if $ACTIVE; then parts+=(components/redirect); fi
  COMPONENTS=$(IFS=, && echo "${parts[*]}")
  IMAGE_NAME=${IMAGE%@*}
  run cp -R deploy/gke/base deploy/gke/overlays deploy/gke/components "$WORK"
  rendered=$(render deploy/gke/release.yaml)
  write "$WORK/kustomization.yaml" "$rendered"
  rendered=$(render deploy/gke/components/https/kustomization.yaml)
  write "$WORK/components/https/kustomization.yaml" "$rendered"
}

# drop_other_gateway: a public balancer cannot become an internal one; closing it comes before everything else.
drop_other_gateway() {
  local class wanted=gke-l7-global-external-managed
  if [ "$PUBLIC" = false ]; then wanted=gke-l7-rilb; fi
  if ! $CLUSTER_EXISTS || $DRY_RUN; then return; fi
  class=$(ask "${KUBECTL[@]}" get gateway quintet --ignore-not-found --output=jsonpath='{.spec.gatewayClassName}') || exit 1
  if [ -z "$class" ] || [ "$class" = "$wanted" ]; then return; fi
  step "PUBLIC=$PUBLIC: another kind of load balancer"
  run "${KUBECTL[@]}" delete gateway quintet || die "could not delete the Gateway. $(cure)"
}

# apply: on the server's side, so that fields which are no longer asked for go. `rollout undo` makes fields its own: they
# are taken back by force.
apply() {
  run kubectl apply --server-side --force-conflicts --field-manager=quintet --kustomize="$WORK" ||
    die "the cluster refused the manifests; what ran before goes on. $(cure)"
  if $ACTIVE || [ -z "$PREVIOUS" ]; then return; fi
  run "${KUBECTL[@]}" delete httproute redirect --ignore-not-found || die "could not remove the redirect. $(cure)"
}

# undo WHY
undo() {
  say "$* Why: kubectl -n quintet describe pods -l release=$RELEASE; kubectl -n quintet logs -l release=$RELEASE --tail=50"
  say "with: gcloud container clusters get-credentials $NAME --region=$REGION --project=$PROJECT --dns-endpoint"
  if [ -z "$PREVIOUS" ]; then die "it was the first: nothing else serves. Mend it and deploy again, or: deploy/gke/teardown.sh --env $ENVIRONMENT"; fi
  if [ "$PREVIOUS" = "$RELEASE" ]; then die "$RELEASE was what ran before, too: there is nothing to go back to."; fi
  step "Back to $PREVIOUS"
  run "${KUBECTL[@]}" rollout undo deployment/quintet || die "could not undo the rollout. $(cure)"
  run "${KUBECTL[@]}" rollout status deployment/quintet --timeout="${ROLLOUT_LIMIT:-900}s" || die "could not go back to $PREVIOUS. $(cure)"
  die "$PREVIOUS serves again; it never stopped."
}
