# shellcheck shell=bash
# The container image: built once for each TAG, used by all targets, deployed by digest.
#
# Sets:  IMAGE  the image's name with its digest

repository() { echo "$REGION-docker.pkg.dev/$PROJECT/quintet"; }

# ensure_image: build the image if it does not exist, and set IMAGE.
ensure_image() {
  local name digest
  name=$(repository)/$SERVICE
  digest=$(query gcloud artifacts docker images describe "$name:$TAG" --format='value(image_summary.digest)') || exit 1
  if [ -z "$digest" ]; then
    ensure_repository
    if [ "$BUILD" = local ]; then build_locally "$name:$TAG"; else build_in_cloud "$name:$TAG"; fi
    capture digest gcloud artifacts docker images describe "$name:$TAG" --format='value(image_summary.digest)'
  fi
  IMAGE=$name@$digest
}

ensure_repository() {
  if exists gcloud artifacts repositories describe quintet --location="$REGION" --project="$PROJECT" --format='value(name)'; then return; fi
  step "Artifact Registry repository"
  run gcloud artifacts repositories create quintet --repository-format=docker --location="$REGION" --project="$PROJECT" \
    --description="Images of $SERVICE" || die "could not create the repository. $(hint)"
}

# build_in_cloud IMAGE: upload this folder, without the files that .gcloudignore excludes, and build it with build.yaml.
build_in_cloud() {
  ensure_build_account
  step "Build the image with Cloud Build"
  submit_build . --config=deploy/build.yaml \
    --substitutions="_IMAGE=$1,_MODEL=$MODEL,$(image_labels)" || {
    log "Read the build log: gcloud logging read 'resource.type=build' --project=$PROJECT --freshness=1h --order=asc --format='value(textPayload)'"
    die "the build failed; nothing was deployed. $(hint)"
  }
}

# image_labels: the substitutions that build.yaml writes into the image's labels, as docker/build.sh does for a local build.
image_labels() {
  local version revision
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
  revision=$(git describe --always --dirty --abbrev=40 --exclude='*')
  echo "_VERSION=$version,_REVISION=$revision"
}

# build_locally IMAGE: for linux/amd64, which Google Cloud runs, on any machine.
build_locally() {
  local engine registry_token
  engine=$(docker/engine.sh) || die "BUILD=local needs docker, podman or buildah. Install one, or set BUILD=cloud."
  step "Build the image on this machine with $engine"
  run env ENGINE="$engine" IMAGE="$1" MODEL="$MODEL" docker/build.sh --platform=linux/amd64 || die "the build failed; nothing was deployed."
  capture registry_token gcloud auth print-access-token
  run "$engine" login --username=oauth2accesstoken --password="$registry_token" "$REGION-docker.pkg.dev" ||
    die "could not log in to $REGION-docker.pkg.dev."
  run "$engine" push "$1" || die "could not push $1."
}
