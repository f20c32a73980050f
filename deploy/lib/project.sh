# shellcheck shell=bash
# APIs, service accounts and roles of the project: created if they are missing.

is_enabled() { grep -qx "$1.googleapis.com" <<<"$ENABLED_APIS"; }

# ensure_apis NAME...
ensure_apis() {
  local api missing=''
  for api in "$@"; do
    is_enabled "$api" || missing+=" $api.googleapis.com"
  done
  if [ -z "$missing" ]; then return; fi
  step "Enable APIs"
  # shellcheck disable=SC2086 # one word for each API
  run gcloud services enable $missing --project="$PROJECT" || die "could not enable$missing. $(hint)"
  # shellcheck disable=SC2086
  record_change $missing
}

# account_email NAME
account_email() { echo "$1@$PROJECT.iam.gserviceaccount.com"; }

# ensure_account NAME DESCRIPTION: a service account without any role.
ensure_account() {
  if exists gcloud iam service-accounts describe "$(account_email "$1")" --project="$PROJECT" --format='value(email)'; then return; fi
  step "Service account $1: $2"
  run gcloud iam service-accounts create "$1" --display-name="$2" --project="$PROJECT" ||
    die "could not create the service account $1. $(hint)"
  record_change "$(account_email "$1")"
}

# ensure_role ACCOUNT ROLE: grant the role on the project to the account.
ensure_role() {
  local member roles
  member=serviceAccount:$(account_email "$1")
  roles=$(query gcloud projects get-iam-policy "$PROJECT" --flatten='bindings[].members' \
    --filter="bindings.members=$member" --format='value(bindings.role)') || exit 1
  if grep -qx "$2" <<<"$roles"; then return; fi
  run gcloud projects add-iam-policy-binding "$PROJECT" --member="$member" --role="$2" --condition=None --format=none ||
    die "could not grant $2 to $1. $(hint)"
  record_change "$(account_email "$1")"
}

# The account that builds run as. The default one of a new project often has no permission to build.
ensure_build_account() {
  ensure_account "$SERVICE-build" "Builds images and functions"
  ensure_role "$SERVICE-build" roles/run.builder
}

build_account() { echo "projects/$PROJECT/serviceAccounts/$(account_email "$SERVICE-build")"; }
