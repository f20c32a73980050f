# shellcheck shell=bash
# What a target needs in its project, made where it is missing.

is_enabled() { grep -qx "$1.googleapis.com" <<<"$ENABLED_APIS"; }

# need_apis NAME...: enable those of the APIs that are not.
need_apis() {
  local api missing=()
  for api in "$@"; do
    is_enabled "$api" || missing+=("$api.googleapis.com")
  done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  step "APIs that are not enabled yet"
  run gcloud services enable "${missing[@]}" --project="$PROJECT" || die "could not enable ${missing[*]}. $(cure)"
}

account() { echo "$1@$PROJECT.iam.gserviceaccount.com"; }

# need_account NAME DESCRIPTION: a service account without any role.
need_account() {
  if exists gcloud iam service-accounts describe "$(account "$1")" --project="$PROJECT" --format='value(email)'; then return; fi
  step "Service account $1: $2"
  run gcloud iam service-accounts create "$1" --display-name="$2" --project="$PROJECT" ||
    die "could not create the service account $1. $(cure)"
}

# need_role ACCOUNT-NAME ROLE: the role in the project, for the account.
need_role() {
  local member roles
  member=serviceAccount:$(account "$1")
  roles=$(ask gcloud projects get-iam-policy "$PROJECT" --flatten='bindings[].members' \
    --filter="bindings.members=$member" --format='value(bindings.role)') || exit 1
  if grep -qx "$2" <<<"$roles"; then return; fi
  run gcloud projects add-iam-policy-binding "$PROJECT" --member="$member" --role="$2" --condition=None --format=none ||
    die "could not give $2 to $1. $(cure)"
}

# The account that builds run as: new projects' default one often may not build.
need_builder() {
  BUILDER=$SERVICE-build
  need_account "$BUILDER" "Builds images and functions"
  need_role "$BUILDER" roles/run.builder
}
