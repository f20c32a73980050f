# shellcheck shell=bash
# The steps of a deployment to App Engine.
#
# Sets:  SERVING      the version that has the traffic; empty if there is none
#        SERVING_FLEX the flexible versions that have traffic
#        IS_DEPLOYED  true if the version of this release exists
#        SMOKE_TOKEN  see lib/access.sh

# The candidate's host name is one DNS label: at most 63 characters.
check_host_name() {
  local label=$RELEASE-dot-$SERVICE-dot-$PROJECT
  [ ${#label} -le 63 ] || die "invalid SERVICE '$SERVICE': the host name $label has ${#label} characters, expected at most 63. Use a shorter name."
}

# App Engine has no private services. With PUBLIC=false, Identity-Aware Proxy authenticates the callers of the whole application.
check_invoker() {
  if [ "$PUBLIC" = true ] || [ "$INVOKER" != - ]; then return; fi
  die "missing setting INVOKER: PUBLIC=false on App Engine uses Identity-Aware Proxy, and the smoke test needs a service account that it can impersonate. Set INVOKER, or set PUBLIC=true (deploy/gae/README.md)"
}

# The two oldest locations of App Engine have names of their own.
app_location() {
  case $REGION in
    europe-west1 | us-central1) echo "${REGION%1}" ;;
    *) echo "$REGION" ;;
  esac
}

# ensure_app: the App Engine application. Its location cannot be changed later.
ensure_app() {
  local wanted location
  wanted=$(app_location)
  location=$(query gcloud app describe --project="$PROJECT" --format='value(locationId)') || exit 1
  if [ -z "$location" ]; then
    check_build_region
    step "App Engine application of the project; its location cannot be changed later"
    run gcloud app create --region="$wanted" --project="$PROJECT" || die "could not create the application. $(hint)"
    record_change "$PROJECT@appspot.gserviceaccount.com"
  elif [ "$location" != "$wanted" ]; then
    die "invalid REGION '$REGION': the App Engine application of $PROJECT is in $location, and its location cannot be changed. Set REGION to match, or use another project."
  fi
}

# ensure_iap: Identity-Aware Proxy is on if PUBLIC=false.
ensure_iap() {
  local enabled
  enabled=$(query gcloud app describe --project="$PROJECT" --format='value(iap.enabled)') || exit 1
  if [ "$PUBLIC" = true ]; then
    [ "$enabled" != True ] ||
      die "PUBLIC=true, but Identity-Aware Proxy is on for this application. Turn it off: gcloud iap web disable --resource-type=app-engine --project=$PROJECT"
    return
  fi
  ensure_apis iap
  if [ "$enabled" = True ]; then return; fi
  step "PUBLIC=false: turn on Identity-Aware Proxy"
  run gcloud iap web enable --resource-type=app-engine --project="$PROJECT" --format=none || die "could not turn on Identity-Aware Proxy. $(hint)"
}

read_state() {
  local versions
  versions=$(query gcloud app versions list --service="$SERVICE" --project="$PROJECT" --format='value[separator=" "](id,traffic_split,environment.name)') || exit 1
  SERVING=$(awk '$2 > 0 { print $1; exit }' <<<"$versions")
  SERVING_FLEX=$(awk '$2 > 0 && tolower($3) ~ /flex/ { print $1 }' <<<"$versions")
  IS_DEPLOYED=false
  if [ -n "$(awk -v release="$RELEASE" '$1 == release' <<<"$versions")" ]; then IS_DEPLOYED=true; fi
}

# ensure_placeholder SERVICE: a static page as the first version of a service, see placeholder.yaml.
ensure_placeholder() {
  local service=$1 folder=$WORK/$1 manifest
  if exists gcloud app services list --project="$PROJECT" --filter="id=$service" --format='value(id)'; then return; fi
  step "Placeholder: a static page as the first version of the service $service"
  run mkdir "$folder"
  manifest=$(render deploy/gae/placeholder.yaml PLACEHOLDER_SERVICE="$service")
  write_file "$folder/app.yaml" "$manifest"
  write_file "$folder/index.html" "Nothing is deployed here."
  write_file "$folder/.gcloudignore" .gcloudignore
  run gcloud app deploy "$folder/app.yaml" --version=placeholder --project="$PROJECT" --quiet ||
    die "could not deploy the placeholder of $service. $(hint)"
  run rm -r "$folder"
}

# stage_standard: WORK contains the app, its requirements, the bundle and app.yaml.
stage_standard() {
  local manifest
  ensure_standard_roles
  step "Folder to upload"
  run cp -R requirements.txt gunicorn.conf.py app "$WORK"
  run mkdir "$WORK/model"
  run cp -R "$MODEL" "$WORK/model"
  manifest=$(render deploy/gae/app.yaml)
  write_file "$WORK/app.yaml" "$manifest"
}

# ensure_standard_roles: the build account of App Engine standard is PROJECT@appspot, which has no role in organizations created
# since May 2024. The version's own account reads the source and the image, and writes logs.
ensure_standard_roles() {
  local role
  for role in roles/storage.objectViewer roles/artifactregistry.writer roles/logging.logWriter; do
    ensure_member_role "$PROJECT@appspot.gserviceaccount.com" "$role"
  done
  for role in roles/storage.objectViewer roles/artifactregistry.reader roles/logging.logWriter; do
    ensure_role "$SERVICE-gae" "$role"
  done
}

# stage_flexible: the image is built, and WORK contains app.yaml.
stage_flexible() {
  local manifest
  ensure_role "$SERVICE-gae" roles/artifactregistry.reader
  ensure_role "$SERVICE-gae" roles/logging.logWriter
  ensure_image
  manifest=$(render deploy/gae/app.flex.yaml FLEX_MIN_INSTANCES=$((MIN_INSTANCES > 0 ? MIN_INSTANCES : 1)))
  write_file "$WORK/app.yaml" "$manifest"
}

deploy_candidate() {
  local flags=(--version="$RELEASE" --no-promote --service-account="$(account_email "$SERVICE-gae")")
  if [ "$GAE_ENVIRONMENT" = flexible ]; then flags+=(--image-url="$IMAGE"); fi
  write_file "$WORK/.gcloudignore" "$(printf '%s\n' __pycache__/ model.keras .gcloudignore)"
  step "Candidate: version $RELEASE, without traffic"
  run gcloud app deploy "$WORK/app.yaml" "${flags[@]}" --project="$PROJECT" --quiet ||
    reject_candidate "version $RELEASE was not built or did not become ready. $(hint)"
}

# capture_iap_token URL: a token for Identity-Aware Proxy, signed by INVOKER for this URL.
capture_iap_token() {
  local member=serviceAccount:$INVOKER issued_at expires_at
  if ! exists gcloud iap web get-iam-policy --resource-type=app-engine --service="$SERVICE" --project="$PROJECT" \
    --flatten='bindings[].members' --filter="bindings.members=$member" --format='value(bindings.role)'; then
    run gcloud iap web add-iam-policy-binding --resource-type=app-engine --service="$SERVICE" --project="$PROJECT" \
      --member="$member" --role=roles/iap.httpsResourceAccessor --format=none || die "could not grant $INVOKER access. $(hint)"
    record_change "$INVOKER"
  fi
  make_work_folder
  capture issued_at date +%s
  capture expires_at python3 -c 'import time; print(int(time.time()) + 3600)'
  write_file "$WORK/claims.json" "{\"iss\": \"$INVOKER\", \"sub\": \"$INVOKER\", \"aud\": \"$1/*\", \"iat\": $issued_at, \"exp\": $expires_at}"
  run gcloud iam service-accounts sign-jwt "$WORK/claims.json" "$WORK/token" --iam-account="$INVOKER" --project="$PROJECT" ||
    die "could not sign a token as $INVOKER. $(hint)"
  capture SMOKE_TOKEN cat "$WORK/token"
  export_token
}

# stop_previous: flexible versions run, and are billed, even without traffic.
stop_previous() {
  local version
  for version in $SERVING_FLEX; do
    run gcloud app versions stop "$version" --service="$SERVICE" --project="$PROJECT" --quiet ||
      log "Warning: version $version still runs and is billed. Stop it with the command above."
  done
}

# prune_versions: keep the five newest versions without traffic; an application may have about 210 versions.
prune_versions() {
  local versions version kept=0
  versions=$(query gcloud app versions list --service="$SERVICE" --project="$PROJECT" --sort-by=~version.createTime \
    --filter='traffic_split=0 AND NOT id=placeholder' --format='value(id)') || exit 1
  for version in $versions; do
    kept=$((kept + 1))
    if [ "$kept" -le 5 ]; then continue; fi
    run gcloud app versions delete "$version" --service="$SERVICE" --project="$PROJECT" --quiet || log "Warning: could not delete the version $version."
  done
}

# reject_candidate REASON: end the script. The candidate has no traffic.
reject_candidate() {
  log "Read its log: gcloud app logs read --service=$SERVICE --version=$RELEASE --project=$PROJECT --limit=100"
  if [ "$GAE_ENVIRONMENT" = flexible ]; then
    log "If it was created, it is billed. Delete it: gcloud app versions delete $RELEASE --service=$SERVICE --project=$PROJECT"
  fi
  die "$* The candidate got no traffic; still serving: ${SERVING:-placeholder}"
}
