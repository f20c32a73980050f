# shellcheck shell=bash
# The arguments, and the settings in deploy/<env>.env: lines of NAME=VALUE, read and checked, never executed.

ENVIRONMENT=staging
YES=false
SETTINGS=()

read_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --env=*) ENVIRONMENT=${1#--env=} ;;
      --env) ENVIRONMENT=${2-} && shift ;;
      --yes) YES=true ;;
      --dry-run) DRY_RUN=true ;;
      -h | --help)
        echo "deploy/$TARGET/$VERB.sh [--env staging|production] [--yes] [--dry-run]; see deploy/$TARGET/README.md"
        exit
        ;;
      *) die "'$1' is no argument. They are: --env staging|production, --yes, --dry-run" ;;
    esac
    shift || die "--env needs staging or production after it"
  done
  case $ENVIRONMENT in
    staging | production) ;;
    *) die "--env '$ENVIRONMENT' is not known: it is staging or production" ;;
  esac
}

# setting NAME DEFAULT PATTERN RULE: one known setting. Without a default it has to be in the file.
setting() {
  SETTINGS+=("$1")
  printf -v "$1" %s "$2"
  printf -v "PATTERN_$1" %s "^($3)$"
  printf -v "RULE_$1" %s "$4"
}

setting PROJECT '' '[a-z][a-z0-9-]{4,28}[a-z0-9]' "a project id: 6 to 30 lower-case letters, digits and hyphens"
setting REGION '' '[a-z]+-[a-z]+[0-9]+' "a region, such as europe-west1"
setting SERVICE quintet '[a-z][a-z0-9-]{0,18}[a-z0-9]' "2 to 20 lower-case letters, digits and hyphens, beginning with a letter"
setting PUBLIC false 'true|false' "true (everybody may call) or false (only who is allowed to)"
setting MODEL model/imagenet 'model/[A-Za-z0-9][A-Za-z0-9._-]*' "a bundle's folder on the shelf, such as model/imagenet"
setting BUILD cloud 'cloud|local' "cloud (Cloud Build) or local (docker or podman on this machine)"
setting INVOKER '-' '-|[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com' "a service account's address that the smoke test takes on, or -"
setting CPU 1 '1|2|4|8' "1, 2, 4 or 8"
setting MEMORY 512Mi '[1-9][0-9]*(Mi|Gi)' "a number, then Mi or Gi, such as 512Mi"
setting CONCURRENCY 8 '[1-9][0-9]{0,2}' "1 to 999 requests at once in one instance"
setting MIN_INSTANCES 0 '0|[1-9][0-9]{0,2}' "0 to 999 instances"
setting MAX_INSTANCES 2 '[1-9][0-9]{0,2}' "1 to 999 instances"
setting DOMAIN '-' '-|([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}' "a domain of yours, such as quintet.example.com, or -"
setting GCE_MACHINE e2-small '[a-z][a-z0-9]*-[a-z0-9-]+' "a machine type, such as e2-small"
setting GAE_ENVIRONMENT standard 'standard|flexible' "standard or flexible"
setting GAE_CLASS F1 'F1|F2|F4|F4_1G' "F1, F2, F4 or F4_1G"

read_settings() {
  local file=$1 line name number=0
  [ -f "$file" ] || die "there is no $file. Make it: cp $file.example $file, and set PROJECT in it"
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    if [[ $line =~ ^[[:space:]]*(#.*)?$ ]]; then continue; fi
    [[ $line =~ ^([A-Z_]+)=(.*)$ ]] || die "$file, line $number: '$line' should be NAME=VALUE"
    name=${BASH_REMATCH[1]}
    [[ " ${SETTINGS[*]} " == *" $name "* ]] || die "$file, line $number: $name is no setting. Known: ${SETTINGS[*]}"
    printf -v "$name" %s "${BASH_REMATCH[2]}"
  done <"$file"
  for name in "${SETTINGS[@]}"; do
    check_setting "$file" "$name"
  done
  [ "$MIN_INSTANCES" -le "$MAX_INSTANCES" ] || die "$file: MIN_INSTANCES=$MIN_INSTANCES is more than MAX_INSTANCES=$MAX_INSTANCES"
}

check_setting() {
  local file=$1 name=$2 pattern="PATTERN_$2" rule="RULE_$2"
  if [ -z "${!name}" ]; then die "$file: $name is missing. Add a line $name=..., ${!rule}"; fi
  [[ ${!name} =~ ${!pattern} ]] || die "$file: $name=${!name} is not right: it should be ${!rule}"
}

# All settings in one line, so that a release is named after them too.
all_settings() {
  local name
  for name in "${SETTINGS[@]}"; do printf '%s=%s ' "$name" "${!name}"; done
}
