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
      remove ${words[@]+"${words[@]}"} ||
        die "could not delete a resource, so the ones after it in the list are still there. Run the same command again; it continues with what is left. $(hint)"
    done
  fi
  log "Not removed, because other targets use them: the images in $(repository) (0.10 \$ per GB and month"
  log "above 0.5 GB), the uploaded sources in gs://${PROJECT}_${REGION}_cloudbuild, the account $SERVICE-build, and the enabled APIs (free)."
}

# remove COMMAND...: a resource that is already gone counts as removed. A resource that is still in use is tried again, because
# Google removes what uses it in the background: instances, load balancers of a Gateway, the proxies of a subnet.
remove() {
  local start
  if $DRY_RUN; then
    quote "$@"
    return
  fi
  log "+ $(quote "$@")"
  start=$(date +%s)
  until execute "$@"; do
    if is_not_found; then
      log "It is already gone."
      return
    fi
    if is_in_use; then
      if remove_leftover; then continue; fi
      if [ $(($(date +%s) - start)) -ge "$REMOVAL_LIMIT" ]; then return 1; fi
      log "It is still in use; retrying in $REMOVAL_INTERVAL s, for at most $((start + REMOVAL_LIMIT - $(date +%s))) s ..."
      sleep "$REMOVAL_INTERVAL"
    else
      wait_to_retry "$start" || return 1
    fi
  done
}

is_in_use() {
  grep -qE 'already being used by|resourceNotReady|is not ready|incompatible operation|already in progress' "$ERROR_FILE"
}

# remove_leftover: when the network cannot be deleted, delete the firewall rule or network endpoint group of GKE that the error
# in ERROR_FILE names. GKE leaves some of them behind, although their cluster is gone.
remove_leftover() {
  local path name
  path=$(sed -nE "s#.*network resource .*already being used by 'projects/[^/]+/(.*/(firewalls|networkEndpointGroups)/(gke|k8s)[a-z0-9-]+)'.*#\1#p" "$ERROR_FILE")
  name=${path##*/}
  case $path in
    global/firewalls/*) set -- firewall-rules delete "$name" ;;
    zones/*) set -- network-endpoint-groups delete "$name" --zone="$(cut -d/ -f2 <<<"$path")" ;;
    *) return 1 ;;
  esac
  log "+ $(quote gcloud compute "$@" --project="$PROJECT" --quiet)"
  execute gcloud compute "$@" --project="$PROJECT" --quiet || is_not_found
}

# list_account NAME: the service account and its roles in the project. Google keeps the roles of a deleted account in the policy
# as `deleted:serviceAccount:...`, so they are removed first, and those of accounts of that name which were deleted earlier, too.
list_account() {
  local email roles role member
  email=$(account_email "$1")
  roles=$(project_roles) || exit 1
  while read -r role member; do
    case $member in
      "serviceAccount:$email" | "deleted:serviceAccount:$email?uid="*)
        list_removal "role $role of $member" gcloud projects remove-iam-policy-binding "$PROJECT" \
          --member="$member" --role="$role" --all --format=none
        ;;
    esac
  done <<<"$roles"
  if is_enabled iam && exists gcloud iam service-accounts describe "$email" --project="$PROJECT" --format='value(email)'; then
    list_removal "service account $email" gcloud iam service-accounts delete "$email" --project="$PROJECT" --quiet
  fi
}

# project_roles: lines of "ROLE MEMBER". A service account can read them only if the Resource Manager API is enabled; without it,
# no service account has deployed here.
project_roles() {
  if [[ $(gcloud config get account 2>/dev/null) == *.gserviceaccount.com ]] && ! is_enabled cloudresourcemanager; then
    log "Warning: the API cloudresourcemanager is not enabled, so the roles of deleted accounts cannot be listed."
    return
  fi
  query gcloud projects get-iam-policy "$PROJECT" --flatten='bindings[].members' --format='value[separator=" "](bindings.role,bindings.members)'
}

# remove_service NAME ACCOUNT: a Cloud Run service or function.
remove_service() {
  if is_enabled run && exists gcloud run services describe "$1" --region="$REGION" --project="$PROJECT" --format='value(metadata.name)'; then
    list_removal "Cloud Run service $1 with all its revisions" gcloud run services delete "$1" --region="$REGION" --project="$PROJECT" --quiet
  fi
  list_account "$2"
  remove_listed
}
