# shellcheck shell=bash
# Command line arguments, and the settings in deploy/<env>.env. The settings file contains lines of NAME=VALUE. It is parsed
# and checked, never executed.
#
# Sets:  ENVIRONMENT  staging or production
#        YES          true if --yes was given
#        SETTINGS     the names of all settings; each setting is a variable of its own

ENVIRONMENT=staging
YES=false
SETTINGS=''

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
      *) die "unknown argument '$1'; known arguments: --env staging|production, --yes, --dry-run" ;;
    esac
    shift || die "missing value of --env: expected staging or production"
  done
  case $ENVIRONMENT in
    staging | production) ;;
    *) die "invalid --env '$ENVIRONMENT': expected staging or production" ;;
  esac
}

# setting NAME DEFAULT PATTERN ALLOWED MEANING: define a setting. A setting without a default must be in the file. The table
# in deploy/README.md shows NAME, DEFAULT, ALLOWED and MEANING; a test compares them.
setting() {
  SETTINGS+=" $1"
  printf -v "$1" %s "$2"
  printf -v "DEFAULT_$1" %s "$2"
  printf -v "PATTERN_$1" %s "^($3)$"
  printf -v "ALLOWED_$1" %s "$4"
  printf -v "MEANING_$1" %s "$5"
}

setting PROJECT '' '[a-z][a-z0-9-]{4,28}[a-z0-9]' "a project ID: 6 to 30 lower-case letters, digits and hyphens" \
  "The Google Cloud project to deploy to. Each environment is a project of its own."
setting REGION '' '[a-z]+-[a-z]+[0-9]+' "a region, such as europe-west1" \
  "The region of everything that is created."
setting SERVICE quintet '[a-z][a-z0-9-]{0,18}[a-z0-9]' "2 to 20 lower-case letters, digits and hyphens, starting with a letter" \
  "The name of the service, and the prefix of the names of accounts, networks and so on."
setting PUBLIC false 'true|false' "true or false" \
  "true: everybody on the internet may call the service, and you pay for it. false: only callers whom IAM allows."
setting MODEL model/imagenet 'model/[A-Za-z0-9][A-Za-z0-9._-]*' "a folder below model/, such as model/imagenet" \
  "The bundle to serve."
setting BUILD cloud 'cloud|local' "cloud or local" \
  "Where images are built: Cloud Build, or docker, podman or buildah on this machine."
setting INGRESS '-' '-|all|internal|internal-and-cloud-load-balancing' "all, internal, internal-and-cloud-load-balancing or -" \
  "Cloud Run and functions: the networks that can reach the service. - keeps the current value, which is all for a new service. The smoke test must run in one of these networks."
setting BUILD_REGION '-' '-|global|[a-z]+-[a-z]+[0-9]+' "a region, global or -" \
  "The region of Cloud Build. - is REGION, and global if the project may not build there, as many new projects."
setting INVOKER '-' '-|[a-z0-9-]+@[a-z0-9.-]+\.gserviceaccount\.com' "the email address of a service account, or -" \
  "The service account that the smoke test impersonates. Needed if gcloud is logged in without an account, and on App Engine with PUBLIC=false. - means none."
setting CPU 1 '1|2|4|8' "1, 2, 4 or 8" \
  "CPUs of one instance; not used on App Engine standard and Compute Engine."
setting MEMORY 512Mi '[1-9][0-9]*(Mi|Gi)' "a number followed by Mi or Gi, such as 512Mi" \
  "Memory of one instance; not used on App Engine and Compute Engine."
setting CONCURRENCY 8 '[1-9][0-9]{0,2}' "a number from 1 to 999" \
  "Concurrent requests of one instance; not used on GKE, Compute Engine and App Engine flexible."
setting MIN_INSTANCES 0 '0|[1-9][0-9]{0,2}' "a number from 0 to 999" \
  "The smallest number of instances. 1 avoids cold starts and is billed all day."
setting MAX_INSTANCES 2 '[1-9][0-9]{0,2}' "a number from 1 to 999" \
  "The largest number of instances. It limits the bill."
setting DOMAIN '-' '-|([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}' "a domain, such as quintet.example.com, or -" \
  "GKE and Compute Engine: your domain, for HTTPS. Without one (-) the public address serves only HTTP."
setting GCE_MACHINE e2-small '[a-z][a-z0-9]*-[a-z0-9-]+' "a machine type, such as e2-small" \
  "Compute Engine: the machine type of an instance."
setting GAE_ENVIRONMENT standard 'standard|flexible' "standard or flexible" \
  "App Engine: standard scales to zero; flexible runs the image and never stops."
setting GAE_CLASS F1 'F1|F2|F4|F4_1G' "F1, F2, F4 or F4_1G" \
  "App Engine standard: the instance class."

read_settings() {
  local file=$1 line name number=0
  [ -f "$file" ] || die "$file not found. Create it: cp $file.example $file, then set PROJECT in it"
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    if [[ $line =~ ^[[:space:]]*(#.*)?$ ]]; then continue; fi
    [[ $line =~ ^([A-Z_]+)=(.*)$ ]] || die "$file, line $number: invalid line '$line': expected NAME=VALUE"
    name=${BASH_REMATCH[1]}
    [[ "$SETTINGS " == *" $name "* ]] || die "$file, line $number: unknown setting $name; known settings:$SETTINGS"
    printf -v "$name" %s "${BASH_REMATCH[2]}"
  done <"$file"
  for name in $SETTINGS; do
    check_setting "$file" "$name"
  done
  check_size "$file"
  [ "$MIN_INSTANCES" -le "$MAX_INSTANCES" ] ||
    die "$file: invalid MIN_INSTANCES '$MIN_INSTANCES': expected at most MAX_INSTANCES, which is $MAX_INSTANCES"
}

check_setting() {
  local file=$1 name=$2 pattern="PATTERN_$2" allowed="ALLOWED_$2"
  if [ -z "${!name}" ]; then die "$file: missing setting $name: expected ${!allowed}. Add a line $name=..."; fi
  [[ ${!name} =~ ${!pattern} ]] || die "$file: invalid $name '${!name}': expected ${!allowed}"
}

# check_size FILE: the combinations of CPU and MEMORY that Google rejects.
check_size() {
  local file=$1 mebibytes=${MEMORY%[MG]i} minimum=0
  if [ "${MEMORY%Gi}" != "$MEMORY" ]; then mebibytes=$((mebibytes * 1024)); fi
  case $TARGET in
    cloudrun | functions)
      case $CPU in
        4) minimum=2048 ;;
        8) minimum=4096 ;;
        *) minimum=512 ;;
      esac
      [ "$mebibytes" -ge "$minimum" ] || die "$file: invalid MEMORY '$MEMORY': expected at least ${minimum}Mi with CPU=$CPU on $TARGET"
      if [ "$CPU" = 1 ] && [ "$mebibytes" -gt 4096 ]; then die "$file: invalid CPU '1': expected at least 2 with MEMORY=$MEMORY on $TARGET"; fi
      ;;
    gae)
      if [ "$GAE_ENVIRONMENT" = flexible ] && [ "$CPU" != 1 ]; then
        die "$file: invalid CPU '$CPU': expected 1 with GAE_ENVIRONMENT=flexible, because app.flex.yaml has memory for one CPU"
      fi
      ;;
  esac
}

# All settings in one line. A release is named after them, too.
all_settings() {
  local name
  for name in $SETTINGS; do printf '%s=%s ' "$name" "${!name}"; done
}
