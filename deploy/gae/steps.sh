# shellcheck shell=bash
# What App Engine wants done before, between and after.

# The candidate's host name is one label of the domain name system: at most 63 characters.
check_host() {
  local host=$RELEASE-dot-$SERVICE-dot-$PROJECT
  [ ${#host} -le 63 ] || die "$host is ${#host} characters long, and a host name may have 63: make SERVICE=$SERVICE shorter"
}

# App Engine knows no private services. What asks callers who they are is Identity-Aware Proxy, for the whole application.
check_access() {
  if [ "$PUBLIC" = false ] && [ "$INVOKER" = - ]; then
    die "PUBLIC=false on App Engine means Identity-Aware Proxy, and INVOKER is not set: name a service account that the smoke test may take on, or set PUBLIC=true (deploy/gae/README.md)"
  fi
}

# App Engine's oldest two locations have names of their own.
learn_location() {
  case $REGION in
    europe-west1 | us-central1) LOCATION=${REGION%1} ;;
    *) LOCATION=$REGION ;;
  esac
}

need_app() {
  local app
  app=$(ask gcloud app describe --project="$PROJECT" --format='value(locationId)') || exit 1
  if [ -z "$app" ]; then
    step "The project's App Engine application; its location is chosen once and for ever"
    run gcloud app create --region="$LOCATION" --project="$PROJECT" || die "could not create the application. $(cure)"
  elif [ "$app" != "$LOCATION" ]; then
    die "the App Engine application of $PROJECT is in $app for ever, and REGION=$REGION: set REGION to match, or take another project"
  fi
}

need_guard() {
  local guarded
  guarded=$(ask gcloud app describe --project="$PROJECT" --format='value(iap.enabled)') || exit 1
  if [ "$PUBLIC" = true ]; then
    [ "$guarded" != True ] || die "PUBLIC=true, but Identity-Aware Proxy guards this application: gcloud iap web disable --resource-type=app-engine --project=$PROJECT"
    return
  fi
  need_apis iap
  if [ "$guarded" != True ]; then
    step "PUBLIC=false: Identity-Aware Proxy asks every caller of this application who they are"
    run gcloud iap web enable --resource-type=app-engine --project="$PROJECT" --format=none || die "could not turn on Identity-Aware Proxy. $(cure)"
  fi
}

# SERVING: the version that has the traffic. DEPLOYED: this release, if it is there. COSTLY: flexible versions with traffic.
look_at_versions() {
  local versions
  versions=$(ask gcloud app versions list --service="$SERVICE" --project="$PROJECT" --format='value[separator=" "](id,traffic_split,environment.name)') || exit 1
  SERVING=$(awk '$2 > 0 { print $1; exit }' <<<"$versions")
  COSTLY=$(awk '$2 > 0 && tolower($3) ~ /flex/ { print $1 }' <<<"$versions")
  DEPLOYED=$(awk -v release="$RELEASE" '$1 == release' <<<"$versions")
}

# need_placeholder SERVICE
need_placeholder() {
  local found rendered
  found=$(ask gcloud app services list --project="$PROJECT" --filter="id=$1" --format='value(id)') || exit 1
  if [ -n "$found" ]; then return; fi
  PLACE=$1
  step "A page that says nothing, as the first version of the service $PLACE"
  run mkdir "$WORK/$PLACE"
  rendered=$(render deploy/gae/placeholder.yaml)
  write "$WORK/$PLACE/app.yaml" "$rendered"
  write "$WORK/$PLACE/index.html" "Nothing is served here."
  write "$WORK/$PLACE/.gcloudignore" .gcloudignore
  run gcloud app deploy "$WORK/$PLACE/app.yaml" --version=placeholder --project="$PROJECT" --quiet ||
    die "could not deploy the placeholder of $PLACE. $(cure)"
  run rm -r "$WORK/$PLACE"
}

# learn_iap_token URL: SMOKE_TOKEN, signed by INVOKER for this URL, which Identity-Aware Proxy takes.
learn_iap_token() {
  local door=(--resource-type=app-engine --service="$SERVICE" --project="$PROJECT")
  local key=(--member="serviceAccount:$INVOKER" --role=roles/iap.httpsResourceAccessor)
  if ! exists gcloud iap web get-iam-policy "${door[@]}" --flatten='bindings[].members' \
    --filter="bindings.members=serviceAccount:$INVOKER" --format='value(bindings.role)'; then
    run gcloud iap web add-iam-policy-binding "${door[@]}" "${key[@]}" --format=none || die "could not let $INVOKER in. $(cure)"
  fi
  if [ -z "$WORK" ]; then learn WORK mktemp -d; fi
  learn NOW date +%s
  learn SOON python3 -c 'import time; print(int(time.time()) + 3600)'
  write "$WORK/claims.json" "{\"iss\": \"$INVOKER\", \"sub\": \"$INVOKER\", \"aud\": \"$1/*\", \"iat\": $NOW, \"exp\": $SOON}"
  run gcloud iam service-accounts sign-jwt "$WORK/claims.json" "$WORK/token" --iam-account="$INVOKER" --project="$PROJECT" ||
    die "could not sign as $INVOKER. $(cure)"
  learn SMOKE_TOKEN cat "$WORK/token"
  export SMOKE_TOKEN
  if $DRY_RUN; then echo "export SMOKE_TOKEN"; fi
}

# Flexible versions run, and cost, whether they have traffic or not. COSTLY are those that had it until now.
stop_previous() {
  local version
  for version in $COSTLY; do
    run gcloud app versions stop "$version" --service="$SERVICE" --project="$PROJECT" --quiet || say "Version $version still runs, and costs: stop it."
  done
}

# refuse_version WHY: the candidate gets no traffic.
refuse_version() {
  say "Its log: gcloud app logs read --service=$SERVICE --version=$RELEASE --project=$PROJECT --limit=100"
  if [ "$GAE_ENVIRONMENT" = flexible ]; then say "It may run, and cost: gcloud app versions delete $RELEASE --service=$SERVICE --project=$PROJECT"; fi
  die "$* It gets no traffic: ${SERVING:-placeholder} goes on serving."
}
