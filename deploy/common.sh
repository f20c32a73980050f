# shellcheck shell=bash
# What every deploy.sh and teardown.sh shares. They source this file and call `begin`; each part of lib/ is one idea:
#
#   lib/shell.sh      run, learn, ask: commands that are shown, and with --dry-run only shown
#   lib/settings.sh   the arguments, and deploy/<env>.env
#   lib/checks.sh     tools, login, project, git, bundle: everything that can be known before anything is changed
#   lib/project.sh    APIs, service accounts and roles, made where they are missing
#   lib/image.sh      the container image: built once for a commit, deployed by digest
#   lib/access.sh     who may call, an identity token for whom, and the smoke test
#   lib/revision.sh   candidate and promote on Cloud Run, which Cloud Run functions share
#   lib/machines.sh    network, address, certificate and tunnel, which GKE and Compute Engine share
#   lib/remove.sh     teardown: list, ask, remove, and say what is left
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
for part in shell settings checks project image access revision machines remove; do
  # shellcheck source=/dev/null
  source "deploy/lib/$part.sh"
done

# begin TARGET VERB ARGUMENTS...: read the arguments and settings, check what can be checked, and ask where production asks.
begin() {
  TARGET=$1 VERB=$2
  shift 2
  read_arguments "$@"
  read_settings "deploy/$ENVIRONMENT.env"
  check_tools
  check_project
  if [ "$VERB" = deploy ]; then
    check_commit
    check_bundle
    name_release
    say "Deploying $RELEASE ($MODEL) to $TARGET as $SERVICE in $PROJECT, $REGION; public: $PUBLIC."
    if [ "$ENVIRONMENT" = production ]; then confirm "This changes production."; fi
  fi
}
