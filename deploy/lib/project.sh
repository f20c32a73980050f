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
ensure_role() { ensure_member_role "$(account_email "$1")" "$2"; }

# ensure_member_role EMAIL ROLE
ensure_member_role() {
  local member=serviceAccount:$1 roles
  roles=$(query gcloud projects get-iam-policy "$PROJECT" --flatten='bindings[].members' \
    --filter="bindings.members=$member" --format='value(bindings.role)') || exit 1
  if grep -qx "$2" <<<"$roles"; then return; fi
  run gcloud projects add-iam-policy-binding "$PROJECT" --member="$member" --role="$2" --condition=None --format=none ||
    die "could not grant $2 to $1. $(hint)"
  record_change "$1"
}

# The account that builds run as. The default one of a new project often has no permission to build.
ensure_build_account() {
  ensure_account "$SERVICE-build" "Builds images and functions"
  ensure_role "$SERVICE-build" roles/run.builder
  case " $CHANGED " in
    *" $(account_email "$SERVICE-build") "*) confirm_build_account ;;
  esac
}

# confirm_build_account: a new account or role takes minutes to take effect. Wait for it with a build of one file, before the
# sources are uploaded.
confirm_build_account() {
  step "Wait until the build account can build"
  make_work_folder
  run mkdir "$WORK/probe"
  run cp deploy/probe.yaml "$WORK/probe"
  submit_build "$WORK/probe" --config=deploy/probe.yaml || die "the build account $SERVICE-build cannot build. $(hint)"
  run rm -r "$WORK/probe"
}

# check_build_region: App Engine builds only in REGION, and the location of its application cannot be changed. So a new application is
# created only if this project may build there: in these regions every project may.
check_build_region() {
  local configured=$BUILD_REGION
  case $REGION in
    us-central1 | us-west2 | europe-west1 | asia-east1 | australia-southeast1 | southamerica-east1) return ;;
  esac
  ensure_build_account
  BUILD_REGION=$REGION # no fallback
  confirm_build_account
  BUILD_REGION=$configured
}

# submit_build SOURCE FLAGS...: new projects may build only in some regions, and in Google's global pool. The sources stay in a bucket
# in REGION.
submit_build() {
  local region=$REGION flags
  if [ "$BUILD_REGION" != - ]; then region=$BUILD_REGION; fi
  flags=(--gcs-source-staging-dir="$(source_bucket)/source" --service-account="$(build_account)" --project="$PROJECT" --suppress-logs --format=none)
  ensure_source_bucket
  if run gcloud builds submit "$@" "${flags[@]}" --region="$region"; then return; fi
  if [ "$BUILD_REGION" != - ] || ! grep -q 'cannot run builds in this region' "$ERROR_FILE"; then return 1; fi
  log "This project may not build in $region. Building in the global pool; BUILD_REGION=global avoids the first attempt."
  BUILD_REGION=global
  run gcloud builds submit "$@" "${flags[@]}" --region=global
}

source_bucket() { echo "gs://${PROJECT}_${REGION}_cloudbuild"; }

ensure_source_bucket() {
  if exists gcloud storage buckets describe "$(source_bucket)" --format='value(name)'; then return; fi
  run gcloud storage buckets create "$(source_bucket)" --location="$REGION" --uniform-bucket-level-access --public-access-prevention \
    --project="$PROJECT" || die "could not create the bucket of the sources. $(hint)"
}

build_account() { echo "projects/$PROJECT/serviceAccounts/$(account_email "$SERVICE-build")"; }
