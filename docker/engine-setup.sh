#!/usr/bin/env bash
# Prepare a container engine for `make image`, `make test-image` and `make test-deploy`:
#
#   eval "$(docker/engine-setup.sh)"
#
# Prints the variables to export; everything else goes to stderr. On a machine with an engine that can pull and run the
# base image, it prints nothing. Otherwise it does what is missing:
#
#   no engine            install Debian's podman, buildah and runc (needs root)
#   no image registry    build a stand-in for python:3.13-slim from Debian's packages, and name it in PYTHON_IMAGE
#   limits too low       lower podman's default limits to the machine's, in the file that CONTAINERS_CONF names
set -euo pipefail
cd "$(dirname "$0")/.."
exec 3>&1 1>&2 # commands below print to stderr; only export_variable prints to stdout

OFFICIAL=docker.io/library/python:3.13-slim
STAND_IN=localhost/python:3.13-slim

export_variable() {
  printf 'export %s=%q\n' "$1" "$2" >&3
}

install() {
  if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "cannot install $*: that needs Debian's apt-get and root; install docker or podman yourself"
    exit 1
  fi
  echo "Installing $* ..."
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Debian's CPython 3.13, laid out as in the official image: python and pip in /usr/local/bin, no EXTERNALLY-MANAGED.
build_stand_in() {
  local work pip_wheels=/usr/share/python-wheels
  command -v mmdebstrap >/dev/null || install mmdebstrap
  echo "No image registry can be reached. Building $STAND_IN from Debian's packages (half a minute) ..."
  work=$(mktemp -d)
  # shellcheck disable=SC2016 # mmdebstrap's shell expands $1, the new root folder
  mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates,netbase,tzdata \
    --dpkgopt='path-exclude=/usr/share/'{doc,locale,man}'/*' \
    --customize-hook='ln -s ../../bin/python3 "$1/usr/local/bin/python"' \
    --customize-hook='rm "$1"/usr/lib/python3.13/EXTERNALLY-MANAGED' \
    --customize-hook='chroot "$1" sh -c "cd '$pip_wheels' && PYTHONPATH=\$(echo pip-*.whl) python3 -B -m pip install \
      --quiet --ignore-installed --no-index --no-compile --root-user-action=ignore pip-*.whl"' \
    trixie "$work/root.tar"
  "$engine" import --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' "$work/root.tar" "$STAND_IN"
  rm -r "$work"
}

runs() {
  "$engine" run --rm --memory 64m --cpus 1 --network none "$base" python --version
}

# Only docker and podman can run an image. netavark and aardvark-dns are podman's network.
engine=$(docker/engine.sh 2>/dev/null || true)
if [ "${engine:-buildah}" = buildah ]; then
  install podman buildah runc netavark aardvark-dns catatonit iptables
  engine=podman
fi

if [ -n "${PYTHON_IMAGE:-}" ]; then
  base=$PYTHON_IMAGE
elif "$engine" image inspect "$OFFICIAL" >/dev/null 2>&1 || "$engine" pull --quiet "$OFFICIAL"; then
  base=$OFFICIAL
else
  "$engine" image inspect "$STAND_IN" >/dev/null 2>&1 || build_stand_in
  base=$STAND_IN
  export_variable PYTHON_IMAGE "$base"
  if [ "$engine" = podman ]; then
    # pip in the build uses the certificates and the configuration of pip on this machine. Neither stays in the image.
    flags=
    for file in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf; do
      if [ -f "$file" ]; then flags+=" --volume $file:$file:ro"; fi
    done
    export_variable BUILD_FLAGS "${flags# }"
  fi
fi

if ! runs && [ "$engine" = podman ]; then
  echo "Podman's default limits do not work on this machine. Lowering them ..."
  export CONTAINERS_CONF=$PWD/docker/.containers.conf
  nofile=$(ulimit -Hn) # runc may refuse more than 32,768 processes even if `ulimit -Hu` is higher
  printf '[containers]\ndefault_ulimits = ["nofile=%s:%s", "nproc=16384:16384"]\n' "$nofile" "$nofile" >"$CONTAINERS_CONF"
  export_variable CONTAINERS_CONF "$CONTAINERS_CONF"
  runs
fi
