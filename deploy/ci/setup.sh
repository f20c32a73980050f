#!/usr/bin/env bash
# Set up continuous deployment in the project of an environment: the service account that cloudbuild.yaml runs as, its roles, and
# the trigger. Connect the GitHub repository to Cloud Build first.
#
#   deploy/ci/setup.sh [cloudrun|functions|gae|gke|gce] [--env staging|production] [--yes] [--dry-run]
set -euo pipefail
source "$(dirname "$0")/../common.sh"

# roles_of TARGET: the roles that deploy.sh needs. deploy/README.md lists them, too.
roles_of() {
  echo serviceusage.serviceUsageAdmin iam.serviceAccountAdmin iam.serviceAccountUser resourcemanager.projectIamAdmin
  echo artifactregistry.admin cloudbuild.builds.editor storage.admin logging.viewer logging.logWriter
  case $1 in
    cloudrun | functions) echo run.admin ;;
    gae) echo appengine.appAdmin appengine.appCreator iap.admin ;;
    gke) echo compute.admin container.admin ;;
    gce) echo compute.admin iap.tunnelResourceAccessor ;;
  esac
}

# repository_of URL: OWNER/NAME of a GitHub repository.
repository_of() {
  echo "$1" | sed -nE 's#^(https://([^/]*@)?github\.com/|git@github\.com:)([^/]+/[^/]+)$#\3#p' | sed 's/\.git$//'
}

# changed_settings: the settings that differ from their defaults, for the trigger. The trigger's project is PROJECT.
changed_settings() {
  local name default line=
  for name in $SETTINGS; do
    default=DEFAULT_$name
    if [ "$name" != PROJECT ] && [ "${!name}" != "${!default}" ]; then line+=" $name=${!name}"; fi
  done
  echo "${line# }"
}

ensure_trigger() {
  local target=$1 repository=$2 trigger=$SERVICE-$ENVIRONMENT source
  if exists gcloud builds triggers list --project="$PROJECT" --filter="name=$trigger" --format='value(name)'; then return; fi
  step "Trigger $trigger"
  source="--branch-pattern=^main$"
  if [ "$ENVIRONMENT" = production ]; then source="--tag-pattern=^v"; fi
  run gcloud builds triggers create github --name="$trigger" --repo-owner="${repository%/*}" --repo-name="${repository#*/}" "$source" \
    --build-config=cloudbuild.yaml --substitutions="_TARGET=$target,_SETTINGS=$(changed_settings),_ACCOUNT=$SERVICE-deploy" \
    --service-account="projects/$PROJECT/serviceAccounts/$(account_email "$SERVICE-deploy")" --project="$PROJECT" --format=none ||
    die "could not create the trigger. Connect the repository first: https://console.cloud.google.com/cloud-build/triggers/connect?project=$PROJECT. $(hint)"
}

target=cloudrun
case ${1-} in
  cloudrun | functions | gae | gke | gce)
    target=$1
    shift
    ;;
esac
begin ci setup "$@"
repository=$(repository_of "$(git config remote.origin.url || true)")
[ -n "$repository" ] || die "the remote origin is not a GitHub repository: git remote add origin https://github.com/OWNER/NAME"

ensure_apis cloudbuild cloudresourcemanager iam
ensure_account "$SERVICE-deploy" "Deploys $SERVICE from Cloud Build"
for role in $(roles_of "$target"); do
  ensure_role "$SERVICE-deploy" "roles/$role"
done
ensure_trigger "$target" "$repository"
log "The trigger $SERVICE-$ENVIRONMENT deploys to $target. Run it: gcloud builds triggers list --project=$PROJECT"
