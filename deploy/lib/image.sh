# shellcheck shell=bash
# The container image: built once for a commit, found again by every target, deployed by digest.

REPOSITORY=quintet

# need_image: IMAGE=...@sha256:..., built if this commit has none yet.
need_image() {
  local name
  REGISTRY=$REGION-docker.pkg.dev
  name=$REGISTRY/$PROJECT/$REPOSITORY/$SERVICE
  DIGEST=$(ask gcloud artifacts docker images describe "$name:$TAG" --format='value(image_summary.digest)') || exit 1
  if [ -z "$DIGEST" ]; then
    need_repository
    if [ "$BUILD" = local ]; then build_here "$name:$TAG"; else build_in_cloud "$name:$TAG"; fi
    learn DIGEST gcloud artifacts docker images describe "$name:$TAG" --format='value(image_summary.digest)'
  fi
  IMAGE=$name@$DIGEST
}

need_repository() {
  if exists gcloud artifacts repositories describe "$REPOSITORY" --location="$REGION" --project="$PROJECT" --format='value(name)'; then return; fi
  step "Artifact Registry repository for images"
  run gcloud artifacts repositories create "$REPOSITORY" --repository-format=docker --location="$REGION" --project="$PROJECT" \
    --description="Images of $SERVICE" || die "could not create the repository. $(cure)"
}

build_in_cloud() {
  need_builder
  step "Image, built by Cloud Build from this folder without what .gcloudignore leaves out"
  run gcloud builds submit . --config=deploy/build.yaml --region="$REGION" --project="$PROJECT" \
    --service-account="projects/$PROJECT/serviceAccounts/$(account "$BUILDER")" \
    --substitutions="_IMAGE=$1,_MODEL=$MODEL,_REVISION=$(git describe --always --dirty --abbrev=40 --exclude='*')" --suppress-logs --format=none || {
    say "The build's log: gcloud logging read 'resource.type=build' --project=$PROJECT --freshness=1h --order=asc --format='value(textPayload)'"
    die "the build failed; nothing was deployed. $(cure)"
  }
}

# linux/amd64 is what Google runs, whatever this machine is.
build_here() {
  local engine
  engine=$(docker/engine.sh) || die "BUILD=local needs docker, podman or buildah, or set BUILD=cloud"
  step "Image, built on this machine by $engine"
  run env ENGINE="$engine" IMAGE="$1" MODEL="$MODEL" docker/build.sh --platform=linux/amd64 || die "the build failed; nothing was deployed."
  learn REGISTRY_TOKEN gcloud auth print-access-token
  run "$engine" login --username=oauth2accesstoken --password="$REGISTRY_TOKEN" "$REGISTRY" || die "could not log in to $REGISTRY."
  run "$engine" push "$1" || die "could not push $1."
}
