# shellcheck shell=bash
# The code that all deploy.sh and teardown.sh scripts share. They source this file and call `begin`.
#
#   lib/shell.sh      run, capture, query: show commands, execute them, or only print them with --dry-run
#   lib/propagation.sh retries while a change of this run takes effect, and all limits of waiting
#   lib/settings.sh   command line arguments and deploy/<env>.env
#   lib/checks.sh     checks before the first change: tools, login, project, commit, bundle
#   lib/project.sh    APIs, service accounts and roles: created if they are missing
#   lib/image.sh      the container image: built once for each commit, deployed by digest
#   lib/access.sh     identity tokens and the smoke test
#   lib/remove.sh     teardown: list, confirm, remove, report what remains
#
# Two more files are sourced by the targets that need them:
#
#   lib/revision.sh   candidate and promotion on Cloud Run, also used by Cloud Run functions
#   lib/network.sh    network, address, certificate and tunnel, used by GKE and Compute Engine
#
# Variables: UPPER_CASE names are settings or state that outlives a function. The header of each file lists the state that
# the file sets; settings are listed in lib/settings.sh. lower_case names are local to a function, or to the
# script that sets them.
#
# Sets:  TARGET  cloudrun, functions, gae, gke or gce
#        VERB    deploy or teardown
#        CLOUDSDK_CORE_PROJECT  exported; the project of all gcloud commands
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
for file in shell propagation settings checks project image access remove; do
  # shellcheck source=/dev/null
  source "deploy/lib/$file.sh"
done
unset file

# begin TARGET VERB ARGUMENTS...: read the arguments and the settings, check everything that can be checked before the first
# change, and ask for confirmation if the environment is production.
begin() {
  TARGET=$1 VERB=$2
  shift 2
  read_arguments "$@"
  read_settings "deploy/$ENVIRONMENT.env"
  export CLOUDSDK_CORE_PROJECT=$PROJECT # some gcloud commands have no --project, and would use the configured project
  if $DRY_RUN; then echo "export CLOUDSDK_CORE_PROJECT=$PROJECT"; fi
  check_tools
  check_project
  if [ "$VERB" = deploy ]; then
    name_release
    log "Deploying $RELEASE ($MODEL) to $TARGET as $SERVICE in $PROJECT, $REGION; public: $PUBLIC."
    if [ "$ENVIRONMENT" = production ]; then confirm "This changes production."; fi
  fi
}
