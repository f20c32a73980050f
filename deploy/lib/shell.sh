# shellcheck shell=bash
# Commands that are shown. `run` changes something, `learn` reads back what is known only later, `ask` decides what to do.
# With --dry-run, standard output is a script: run and learn print their command for pasting and run nothing; ask still asks.

DRY_RUN=false
ERRORS=$(mktemp)
WORK=
trap 'rm -rf "$ERRORS" "$WORK"' EXIT

say() { echo "$*" >&2; }

die() {
  say "$TARGET/$VERB.sh: $*"
  exit 1
}

step() {
  if $DRY_RUN; then printf '\n# %s\n' "$*"; else say "== $*"; fi
}

# Words as they can be pasted. $NAME inside a word is a value known only later: double quotes let the shell fill it in.
quote() {
  local word flag line=
  for word in "$@"; do
    flag=
    if [[ $word =~ ^(--[a-z-]+=)(.*)$ ]]; then flag=${BASH_REMATCH[1]} word=${BASH_REMATCH[2]}; fi
    case $word in
      *'$'[A-Z]*) word="\"$word\"" ;;
      '' | *[!A-Za-z0-9_./:=@,+-]*) word="'$word'" ;;
    esac
    line+=" $flag$word"
  done
  echo "${line# }"
}

# Run a command, show its errors and keep them for `cure`. What it prints goes where it always goes.
attempt() { { "$@" 2>&1 >&3 | tee "$ERRORS" >&2; } 3>&1; }

# run COMMAND...: what changes something. A service account just made takes a while to be known everywhere: then, again.
run() {
  local tries=0
  if $DRY_RUN; then
    quote "$@"
    return
  fi
  say "+ $(quote "$@")"
  until attempt "$@"; do
    tries=$((tries + 1))
    if [ $tries -gt "${PATIENCE:-6}" ] || ! grep -qi 'service account .*does not exist' "$ERRORS"; then return 1; fi
    say "The new service account is not known everywhere yet; again in 10 s ..."
    sleep 10
  done
}

# learn NAME COMMAND...: NAME=$(COMMAND), for values that exist only once the commands before have run.
learn() {
  local name=$1 value
  shift
  if $DRY_RUN; then
    echo "$name=\$($(quote "$@"))"
    printf -v "$name" '$%s' "$name"
    return
  fi
  say "+ $name=\$($(quote "$@"))"
  value=$(attempt "$@") || die "could not read $name. $(cure)"
  printf -v "$name" %s "$value"
}

# ask COMMAND...: print what a read-only command says, and nothing when what it asks for is not there. Whatever else goes
# wrong ends the script: a missing permission must never be taken for a missing thing.
ask() {
  if "$@" 2>"$ERRORS"; then return; fi
  if grep -qE 'NOT_FOUND|[Nn]ot found|Cannot find|does not contain an App Engine application' "$ERRORS"; then return; fi
  if $DRY_RUN && grep -qE 'SERVICE_DISABLED|has not been used in project' "$ERRORS"; then return; fi # the dry run enabled no API
  cat "$ERRORS" >&2
  die "$(quote "$@") failed. $(cure)"
}

exists() {
  local found
  found=$(ask "$@") || exit 1
  [ -n "$found" ]
}

# What to do about the error that gcloud has just shown.
cure() {
  case $(cat "$ERRORS") in
    *SERVICE_DISABLED* | *"has not been used in project"*)
      echo "An API is not enabled, or not known to be yet: wait a minute and run the same command again."
      ;;
    *"permitted customer"* | *"organization policy"*)
      echo "Your organisation forbids it: set PUBLIC=false, or ask for an exception from its policy."
      ;;
    *PERMISSION_DENIED* | *"does not have permission"* | *[Ff]orbidden* | *"do not have permission"*)
      echo "The caller (gcloud config get account) lacks a role in $PROJECT: ask its owner for those listed in deploy/README.md."
      ;;
    *UNAUTHENTICATED* | *"gcloud auth login"*)
      echo "Log in: gcloud auth login"
      ;;
    *) echo "The lines above say why; mend it and run the same command again." ;;
  esac
}

confirm() {
  local answer=
  if $DRY_RUN || $YES; then return; fi
  printf '%s Go on? [y/N] ' "$*" >&2
  read -r answer || true
  [[ $answer == [yY]* ]] || die "stopped; nothing was changed. Answer y, or give --yes."
}

# render FILE: the file without its comment lines, and with each ${NAME} replaced by the variable's value.
render() {
  local text name
  text=$(sed -E '/^ *#( |$)/d' "$1") # and keep #cloud-config
  while [[ $text =~ \$\{([A-Z_]+)\} ]]; do
    name=${BASH_REMATCH[1]}
    text=${text//"\${$name}"/"${!name}"}
  done
  printf '%s\n' "$text"
}

# write FILE TEXT
write() {
  if $DRY_RUN; then printf 'cat >"%s" <<END\n%s\nEND\n' "$1" "$2"; else printf '%s\n' "$2" >"$1"; fi
}
