# shellcheck shell=bash
# Run commands, show them, or only print them.
#
#   run COMMAND...            execute a command that changes something; temporary errors are retried
#   capture NAME COMMAND...   store the output of a command in the variable NAME
#   query COMMAND...          print the output of a read-only command; nothing if the resource does not exist
#
# With --dry-run, standard output is a script that can be pasted: `run` and `capture` print their command and execute
# nothing. `query` is always executed.
#
# Sets:  DRY_RUN     true if --dry-run was given
#        ERROR_FILE  holds the error output of the last command
#        WORK        a temporary folder, see make_work_folder

DRY_RUN=false
ERROR_FILE=$(mktemp)
WORK=
trap 'rm -rf "$ERROR_FILE" "$WORK"' EXIT

log() { echo "$*" >&2; }

die() {
  log "error: $*"
  exit 1
}

step() {
  if $DRY_RUN; then printf '\n# %s\n' "$*"; else log "== $*"; fi
}

# quote WORDS...: print a command as it can be pasted. $NAME inside a word is a value that is known only later; double quotes
# let the shell insert it.
quote() {
  local word flag line=
  for word in "$@"; do
    flag=
    if [[ $word =~ ^(--[a-z-]+=)(.*)$ ]]; then flag=${BASH_REMATCH[1]} word=${BASH_REMATCH[2]}; fi
    case $word in
      *'$'[A-Za-z]*) word="\"$word\"" ;;
      '' | *[!A-Za-z0-9_./:=@,+-]*) word="'$word'" ;;
    esac
    line+=" $flag$word"
  done
  echo "${line# }"
}

# execute COMMAND...: show the errors of a command and keep them in ERROR_FILE for `hint`; its output stays where it is.
execute() { { "$@" 2>&1 >&3 | tee "$ERROR_FILE" >&2; } 3>&1; }

# run COMMAND...: temporary errors are retried (lib/propagation.sh). run_once does not retry.
run() { run_with retry "$@"; }
run_once() { run_with execute "$@"; }

run_with() {
  local runner=$1
  shift
  if $DRY_RUN; then
    quote "$@"
    return
  fi
  log "+ $(quote "$@")"
  "$runner" "$@"
}

# capture NAME COMMAND...: NAME=$(COMMAND). In a dry run the value of NAME is the text $NAME.
capture() {
  local _name=$1 _value
  shift
  if $DRY_RUN; then
    echo "$_name=\$($(quote "$@"))"
    printf -v "$_name" '$%s' "$_name"
    return
  fi
  log "+ $_name=\$($(quote "$@"))"
  _value=$(retry "$@") || die "could not read $_name. $(hint)"
  printf -v "$_name" %s "$_value"
}

# query COMMAND...: `gcloud compute ... list` exits with 0 even if it could not read everything. Only a missing resource gives empty output. Every other error ends the script, because a missing
# permission must not be mistaken for a missing resource.
query() {
  local start
  start=$(date +%s)
  until "$@" 2>"$ERROR_FILE" && ! grep -q 'Some requests did not succeed' "$ERROR_FILE"; do
    if $DRY_RUN && grep -qE 'SERVICE_DISABLED|has not been used in project' "$ERROR_FILE"; then return; fi # the dry run enabled no API
    if wait_to_retry "$start"; then continue; fi
    if is_not_found; then return; fi
    cat "$ERROR_FILE" >&2
    die "command failed: $(quote "$@"). $(hint)"
  done
}

# is_not_found: whether the error in ERROR_FILE says that a resource does not exist.
is_not_found() { grep -qE 'NOT_FOUND|[Nn]ot found|[Cc]ould not be found|Cannot find|does not contain an App Engine application' "$ERROR_FILE"; }

# exists COMMAND...: whether the read-only command prints anything.
exists() {
  local output
  output=$(query "$@") || exit 1
  [ -n "$output" ]
}

# hint: how to fix the error in ERROR_FILE. A permission error names whose permission is missing.
hint() {
  local errors member
  errors=$(cat "$ERROR_FILE")
  member=$(grep -oE '[a-z0-9-]+@[a-z0-9.-]*gserviceaccount\.com' "$ERROR_FILE" | sed -n 1p) || true
  case $errors in
    *BILLING* | *"illing must be enabled"*)
      echo "Billing is not enabled for $PROJECT. Link a billing account: https://console.cloud.google.com/billing/linkedaccount?project=$PROJECT"
      ;;
    *USER_PROJECT_DENIED*)
      echo "gcloud sends a quota project that the caller may not use. Turn that off: gcloud config unset billing/quota_project"
      ;;
    *"cannot run builds in this region"*)
      echo "This project may not build in $REGION. Set BUILD_REGION=global, or, on functions and App Engine, REGION to one of us-central1, us-west2, europe-west1, asia-east1, australia-southeast1, southamerica-east1."
      ;;
    *SERVICE_DISABLED* | *"has not been used in project"*)
      echo "An API is not enabled, or was enabled a moment ago. Wait a minute and run the same command again."
      ;;
    *vmExternalIpAccess*)
      echo "An organization policy forbids instances with public addresses, which App Engine flexible uses. Set GAE_ENVIRONMENT=standard, or ask the organization's administrator for an exception."
      ;;
    *"permitted customer"* | *"organization policy"* | *constraints/*)
      echo "An organization policy forbids this. Set PUBLIC=false, or ask the organization's administrator for an exception."
      ;;
    *PERMISSION_DENIED* | *"does not have"*permission* | *"does not have"*access* | *[Ff]orbidden* | *"do not have permission"* | *denied*)
      case $member in
        service-*) echo "Google's service agent $member lacks a role in $PROJECT. Google grants it when an API is enabled. Wait a few minutes and run the same command again." ;;
        "$SERVICE"-build@* | *@appspot.*) echo "The build account $member lacks a role in $PROJECT, or the caller lacks roles/iam.serviceAccountUser on it (deploy/README.md)." ;;
        ?*) echo "The caller (gcloud config get account) lacks roles/iam.serviceAccountUser on $member, or $member lacks a role in $PROJECT (deploy/README.md)." ;;
        *) echo "The caller (gcloud config get account) lacks a role in $PROJECT. Ask the project's owner for the roles listed in deploy/README.md." ;;
      esac
      ;;
    *UNAUTHENTICATED* | *"gcloud auth login"*)
      echo "Log in: gcloud auth login"
      ;;
    *) echo "Fix the error shown above and run the same command again." ;;
  esac
}

confirm() {
  local answer=
  if $DRY_RUN || $YES; then return; fi
  printf '%s Continue? [y/N] ' "$*" >&2
  read -r answer || true
  [[ $answer == [yY]* ]] || die "not confirmed; nothing was changed. Answer y, or add --yes."
}

make_work_folder() {
  if [ -z "$WORK" ]; then capture WORK mktemp -d; fi
}

# render FILE [NAME=VALUE...]: print the file without its comment lines, with each ${NAME} replaced by the given VALUE, or
# else by the variable NAME.
render() {
  local text before name value pair
  text=$(sed -E '/^ *#( |$)/d' "$1") # keeps #cloud-config
  shift
  while [[ $text =~ \$\{([A-Z_]+)\} ]]; do
    name=${BASH_REMATCH[1]}
    value=${!name-}
    for pair in "$@"; do
      if [ "${pair%%=*}" = "$name" ]; then value=${pair#*=}; fi
    done
    before=${text%%"\${$name}"*}
    text=$before$value${text#*"\${$name}"}
  done
  printf '%s\n' "$text"
}

# write_file FILE TEXT
write_file() {
  if $DRY_RUN; then printf 'cat >"%s" <<END\n%s\nEND\n' "$1" "$2"; else printf '%s\n' "$2" >"$1"; fi
}
