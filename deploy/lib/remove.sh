# shellcheck shell=bash
# Taking away what was made: listed first, asked about, then removed; and what is left, with what it costs.

REMOVALS=() # each one command, its words separated by newlines

# to_remove WHAT COMMAND...: WHAT is there, and COMMAND removes it.
to_remove() {
  local words
  if [ ${#REMOVALS[@]} -eq 0 ]; then say "In $PROJECT this would be removed for good:"; fi
  say "  $1"
  shift
  words=$(printf '%s\n' "$@")
  REMOVALS+=("$words")
}

# remove_all: ask once, then remove in the order of listing.
remove_all() {
  local removal words word
  if [ ${#REMOVALS[@]} -eq 0 ]; then
    say "Nothing of $SERVICE on $TARGET is left in $PROJECT."
  else
    confirm "This cannot be undone."
    for removal in "${REMOVALS[@]}"; do
      words=()
      while IFS= read -r word; do words+=("$word"); done <<<"$removal"
      run "${words[@]}" || die "could not remove it. $(cure)"
    done
  fi
  say "Not removed, for the other targets use it: the images in $REGION-docker.pkg.dev/$PROJECT/$REPOSITORY (0.10 \$ a GB and month"
  say "over 0.5 GB), the uploaded sources in gs://${PROJECT}_cloudbuild, the account $SERVICE-build, and the enabled APIs (free)."
}

to_remove_account() {
  local email
  email=$(account "$1")
  if exists gcloud iam service-accounts describe "$email" --project="$PROJECT" --format='value(email)'; then
    to_remove "service account $email" gcloud iam service-accounts delete "$email" --project="$PROJECT" --quiet
  fi
}

# remove_service NAME ACCOUNT-NAME: of Cloud Run.
remove_service() {
  local where=(--region="$REGION" --project="$PROJECT")
  if exists gcloud run services describe "$1" "${where[@]}" --format='value(metadata.name)'; then
    to_remove "Cloud Run service $1 with all its revisions" gcloud run services delete "$1" "${where[@]}" --quiet
  fi
  to_remove_account "$2"
  remove_all
}
