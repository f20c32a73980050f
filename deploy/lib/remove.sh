# shellcheck shell=bash
# Teardown: list what exists, ask for confirmation, remove it, and report what remains and what it costs.
#
# Sets:  REMOVALS  the commands to run; each is one string with its words separated by newlines

REMOVALS=()

# list_removal DESCRIPTION COMMAND...
list_removal() {
  local words
  if [ ${#REMOVALS[@]} -eq 0 ]; then log "These resources of $PROJECT will be deleted:"; fi
  log "  $1"
  shift
  words=$(printf '%s\n' "$@")
  REMOVALS+=("$words")
}

# remove_listed: ask once, then remove in the order of listing.
remove_listed() {
  local removal words word
  if [ ${#REMOVALS[@]} -eq 0 ]; then
    log "No resources of $SERVICE on $TARGET are left in $PROJECT."
  else
    confirm "This cannot be undone."
    for removal in ${REMOVALS[@]+"${REMOVALS[@]}"}; do
      words=()
      while IFS= read -r word; do words+=("$word"); done <<<"$removal"
      run ${words[@]+"${words[@]}"} || is_not_found || die "could not delete a resource. $(hint)"
    done
  fi
  log "Not removed, because other targets use them: the images in $(repository) (0.10 \$ per GB and month"
  log "above 0.5 GB), the uploaded sources in gs://${PROJECT}_${REGION}_cloudbuild, the account $SERVICE-build, and the enabled APIs (free)."
}

# list_account NAME
list_account() {
  local email
  email=$(account_email "$1")
  list_roles "$email"
  if is_enabled iam && exists gcloud iam service-accounts describe "$email" --project="$PROJECT" --format='value(email)'; then
    list_removal "service account $email" gcloud iam service-accounts delete "$email" --project="$PROJECT" --quiet
  fi
}

# list_roles EMAIL: the roles of an account on the project. An account that is deleted before its roles stays in the project's policy as
# deleted:serviceAccount:EMAIL?uid=..., which is removed, too.
list_roles() {
  local bindings role member
  if ! is_enabled cloudresourcemanager; then return; fi
  bindings=$(query gcloud projects get-iam-policy "$PROJECT" --flatten='bindings[].members' \
    --filter="bindings.members~serviceAccount:$1" --format='value[separator=" "](bindings.role,bindings.members)') || exit 1
  while read -r role member; do
    if [ -z "$role" ]; then continue; fi
    list_removal "$role of $member" gcloud projects remove-iam-policy-binding "$PROJECT" --member="$member" --role="$role" \
      --all --format=none
  done <<<"$bindings"
}

# remove_service NAME ACCOUNT: a Cloud Run service or function.
remove_service() {
  if is_enabled run && exists gcloud run services describe "$1" --region="$REGION" --project="$PROJECT" --format='value(metadata.name)'; then
    list_removal "Cloud Run service $1 with all its revisions" gcloud run services delete "$1" --region="$REGION" --project="$PROJECT" --quiet
  fi
  list_account "$2"
  remove_listed
}
