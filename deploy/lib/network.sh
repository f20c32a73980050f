# shellcheck shell=bash
# The parts that GKE and Compute Engine share: a network without public addresses, and a load balancer with an address, a
# certificate (if DOMAIN is set) and a tunnel (if PUBLIC=false).
#
# Sets:  NAME                the name of all resources of the target
#        MIN_REPLICAS        the smallest number of instances or pods
#        SCOPE               the gcloud flag of the load balancer's parts: --global or --region=REGION
#        PROXY_RANGE         the proxies of an internal load balancer; also in deploy/gke/base/network-policy.yaml
#        ADDRESS             the IP address of the load balancer
#        CERTIFICATE         the certificate for DOMAIN; empty without DOMAIN
#        CERTIFICATE_ACTIVE  true once Google has issued it
#        TUNNEL              the process that keeps the tunnel open; empty if there is none

PROXY_RANGE=10.8.16.0/23
TUNNEL=
trap 'close_tunnel; rm -rf "$ERROR_FILE" "$WORK"' EXIT # also if the user interrupts the script

# name_resources: these targets never scale to zero. Production runs at least two instances, so that it survives the loss of one.
name_resources() {
  local min=1
  NAME=$SERVICE-$TARGET
  if [ "$ENVIRONMENT" = production ]; then min=2; fi
  MIN_REPLICAS=$((MIN_INSTANCES > min ? MIN_INSTANCES : min))
  [ "$MIN_REPLICAS" -le "$MAX_INSTANCES" ] ||
    die "invalid MAX_INSTANCES '$MAX_INSTANCES': expected at least $MIN_REPLICAS for $ENVIRONMENT on $TARGET"
  [ "$PUBLIC" = true ] || [ "$DOMAIN" = - ] ||
    die "invalid DOMAIN '$DOMAIN': expected - with PUBLIC=false, because Google issues certificates only for public addresses"
  SCOPE=--global
  if [ "$PUBLIC" = false ]; then SCOPE=--region=$REGION; fi
}

# ensure_subnet SUBNET RANGE FLAGS...
ensure_subnet() {
  local subnet=$1 range=$2
  shift 2
  if exists gcloud compute networks subnets describe "$subnet" --region="$REGION" --project="$PROJECT" --format='value(name)'; then return; fi
  run gcloud compute networks subnets create "$subnet" --network="$NAME" --range="$range" "$@" --region="$REGION" --project="$PROJECT" ||
    die "could not create the subnet $subnet. $(hint)"
}

# ensure_network: a network of its own. Instances have no public addresses; Private Google Access lets them reach Artifact
# Registry and Cloud Logging, and nothing else.
ensure_network() {
  step "Network $NAME"
  if ! exists gcloud compute networks describe "$NAME" --project="$PROJECT" --format='value(name)'; then
    run gcloud compute networks create "$NAME" --subnet-mode=custom --project="$PROJECT" || die "could not create the network. $(hint)"
  fi
  ensure_subnet "$NAME" 10.8.0.0/20 --enable-private-ip-google-access
}

# ensure_address: the static address of the load balancer. An internal one is in the network's subnet.
ensure_address() {
  local flags=("$SCOPE")
  ADDRESS=$(query gcloud compute addresses describe "$NAME" "$SCOPE" --project="$PROJECT" --format='value(address)') || exit 1
  if [ -n "$ADDRESS" ]; then return; fi
  step "Address of the load balancer"
  if [ "$PUBLIC" = false ]; then
    ensure_subnet "$NAME-proxies" "$PROXY_RANGE" --purpose=REGIONAL_MANAGED_PROXY --role=ACTIVE
    flags+=(--subnet="$NAME")
  fi
  run gcloud compute addresses create "$NAME" "${flags[@]}" --project="$PROJECT" || die "could not reserve an address. $(hint)"
  capture ADDRESS gcloud compute addresses describe "$NAME" "$SCOPE" --project="$PROJECT" --format='value(address)'
}

# ensure_certificate: Google issues it once DOMAIN resolves to ADDRESS. Each domain has a certificate of its own.
ensure_certificate() {
  local status
  CERTIFICATE='' CERTIFICATE_ACTIVE=false
  if [ "$DOMAIN" = - ]; then return; fi
  CERTIFICATE=$NAME-$(git hash-object --stdin <<<"$DOMAIN" | cut -c1-8)
  status=$(query gcloud compute ssl-certificates describe "$CERTIFICATE" --global --project="$PROJECT" --format='value(managed.status)') || exit 1
  if [ "$status" = ACTIVE ]; then CERTIFICATE_ACTIVE=true; fi
  if [ -n "$status" ]; then return; fi
  step "Certificate for $DOMAIN"
  run gcloud compute ssl-certificates create "$CERTIFICATE" --domains="$DOMAIN" --global --project="$PROJECT" ||
    die "could not create the certificate. $(hint)"
}

public_url() {
  if $CERTIFICATE_ACTIVE; then echo "https://$DOMAIN"; else echo "http://$ADDRESS"; fi
}

# capture_port NAME: a free local port, for a tunnel.
capture_port() {
  capture "$1" python3 -c 'import socket; s = socket.create_server(("localhost", 0)); print(s.getsockname()[1])'
}

# smoke_test_public: through the load balancer. A new one takes minutes until it answers.
smoke_test_public() { smoke_test "$(public_url)" "$BALANCER_LIMIT"; }

# keep_open COMMAND...: run a tunnel, and again when it ends, until this process is terminated. WORK/tunnel.log is its last output.
keep_open() {
  local tunnel=
  trap '{ kill "$tunnel" && wait "$tunnel"; } 2>/dev/null; exit 0' TERM
  while true; do
    "$@" >"$WORK/tunnel.log" 2>&1 &
    tunnel=$!
    wait "$tunnel" || true
    log "The tunnel was closed; opening it again ..."
    sleep "$TUNNEL_INTERVAL"
  done
}

close_tunnel() {
  if [ -z "$TUNNEL" ]; then return; fi
  { kill "$TUNNEL" && wait "$TUNNEL"; } 2>/dev/null || true
  TUNNEL=
}

# smoke_test_tunnel PORT COMMAND...: through the tunnel that COMMAND opens on the local PORT. A tunnel can stay open although it
# passes nothing on, so a test that could not reach the service is repeated through a new one.
smoke_test_tunnel() {
  local port=$1 status attempt
  shift
  step "Open a tunnel, because the address $ADDRESS is internal"
  if $DRY_RUN; then
    echo "$(quote "$@") &"
    run_smoke_test "http://localhost:$port" "$TUNNEL_LIMIT"
    echo 'kill %1'
    return
  fi
  make_work_folder
  for attempt in 1 2 3; do
    log "+ $(quote "$@") &"
    keep_open "$@" &
    TUNNEL=$!
    status=0
    run_smoke_test "http://localhost:$port" "$TUNNEL_LIMIT" || status=$?
    close_tunnel
    if [ $status -ne 3 ]; then return $status; fi
    log "Attempt $attempt of 3 did not reach the service. Last output of the tunnel: $(tail -n 1 "$WORK/tunnel.log")"
  done
  check_reached 3 "http://localhost:$port"
}

show_public_url() {
  if $DRY_RUN; then return; fi
  if [ "$DOMAIN" = - ]; then
    log "Warning: without DOMAIN the service uses HTTP. Images and results can be read and changed on the way. Use it for trials only."
  elif ! $CERTIFICATE_ACTIVE; then
    log "The certificate for $DOMAIN is not active yet. Create a DNS record that points $DOMAIN to $ADDRESS, wait up to an hour, and run"
    log "this script again. Then the service uses HTTPS and redirects HTTP. Until then it uses HTTP, which is not encrypted."
  fi
  show_url "$(public_url)"
}

# show_tunnel COMMANDS: COMMANDS open a tunnel on port 8080 of the user's machine.
show_tunnel() {
  if $DRY_RUN; then return; fi
  log "The address inside the network $NAME is http://$ADDRESS. To reach it from your machine, keep this running:"
  log "  $1"
  show_url http://localhost:8080
}

# list_resources DESCRIPTION COLLECTION FILTER: list all resources of a Compute Engine collection for removal, global and regional.
list_resources() {
  local resources name region flags collection
  read -ra collection <<<"$2"
  resources=$(query gcloud compute "${collection[@]}" list --project="$PROJECT" --filter="$3" --format='value[separator=" "](name,region.basename())') || exit 1
  while read -r name region; do
    if [ -z "$name" ]; then continue; fi
    flags=(--project="$PROJECT" --quiet)
    if [ -n "$region" ]; then
      flags+=(--region="$region")
    else
      case $2 in
        networks | firewall-rules | instance-templates) ;; # always global: they have no flag for it
        *) flags+=(--global) ;;
      esac
    fi
    list_removal "$1 $name" gcloud compute "${collection[@]}" delete "$name" "${flags[@]}"
  done <<<"$resources"
}

# list_network: the network and what is left in it. The firewall rules that GKE creates in it are GKE's own: it removes them with the
# cluster, and `remove_leftover` removes the rest.
list_network() {
  list_resources "certificate" ssl-certificates "name~^$NAME-[0-9a-f]{8}$"
  list_resources "firewall rule" firewall-rules "name=($NAME-probes $NAME-inside)"
  list_resources "subnet" "networks subnets" "network~/$NAME$"
  list_resources "network" networks "name=$NAME"
}
