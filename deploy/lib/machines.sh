# shellcheck shell=bash
# What GKE and Compute Engine share: instances that never scale to zero, a network of their own without public addresses,
# and a load balancer with an address, a certificate where DOMAIN is set, and a tunnel where PUBLIC=false.

INSTANCES=10.8.0.0/20
PROXIES=10.8.16.0/23 # of an internal balancer; in deploy/gke/base/network-policy.yaml too

# NAME is what everything of the target is called. LEAST instances run all day: a production that survives one of them.
name_machines() {
  NAME=$SERVICE-$TARGET
  LEAST=$MIN_INSTANCES
  if [ "$ENVIRONMENT" = production ]; then LEAST=$((LEAST > 2 ? LEAST : 2)); else LEAST=$((LEAST > 1 ? LEAST : 1)); fi
  [ "$LEAST" -le "$MAX_INSTANCES" ] ||
    die "MAX_INSTANCES=$MAX_INSTANCES is too few: $ENVIRONMENT on $TARGET runs at least $LEAST instances"
  [ "$PUBLIC" = true ] || [ "$DOMAIN" = - ] || die "DOMAIN=$DOMAIN needs PUBLIC=true: a certificate is given only for an address that Google can reach"
  if [ "$PUBLIC" = true ]; then SCOPE=(--global); else SCOPE=(--region="$REGION"); fi
  SCOPE+=(--project="$PROJECT")
}

# need_subnet SUBNET RANGE FLAGS...: in the target's own network, which has no firewall rule but ours.
need_subnet() {
  local subnet=$1 range=$2
  shift 2
  if exists gcloud compute networks subnets describe "$subnet" --region="$REGION" --project="$PROJECT" --format='value(name)'; then return; fi
  run gcloud compute networks subnets create "$subnet" --network="$NAME" --range="$range" "$@" --region="$REGION" --project="$PROJECT" ||
    die "could not create the subnet $subnet. $(cure)"
}

# Private Google Access takes instances without a public address to Artifact Registry and Cloud Logging, and nowhere else.
need_network() {
  step "Network $NAME"
  if ! exists gcloud compute networks describe "$NAME" --project="$PROJECT" --format='value(name)'; then
    run gcloud compute networks create "$NAME" --subnet-mode=custom --project="$PROJECT" || die "could not create the network. $(cure)"
  fi
  need_subnet "$NAME" "$INSTANCES" --enable-private-ip-google-access
}

# need_address: ADDRESS of the balancer, which stays the same.
need_address() {
  local inside=()
  ADDRESS=$(ask gcloud compute addresses describe "$NAME" "${SCOPE[@]}" --format='value(address)') || exit 1
  if [ -n "$ADDRESS" ]; then return; fi
  step "Address of the load balancer"
  if [ "$PUBLIC" = false ]; then
    need_subnet "$NAME-proxies" "$PROXIES" --purpose=REGIONAL_MANAGED_PROXY --role=ACTIVE
    inside=(--subnet="$NAME")
  fi
  run gcloud compute addresses create "$NAME" "${inside[@]}" "${SCOPE[@]}" || die "could not reserve an address. $(cure)"
  learn ADDRESS gcloud compute addresses describe "$NAME" "${SCOPE[@]}" --format='value(address)'
}

# need_certificate: CERTIFICATE for DOMAIN, and whether it is ACTIVE: Google gives it once DOMAIN points to ADDRESS.
need_certificate() {
  local status
  CERTIFICATE='' ACTIVE=false
  if [ "$DOMAIN" = - ]; then return; fi
  CERTIFICATE=$NAME-$(git hash-object --stdin <<<"$DOMAIN" | cut -c1-8) # another domain is another certificate
  status=$(ask gcloud compute ssl-certificates describe "$CERTIFICATE" --global --project="$PROJECT" --format='value(managed.status)') || exit 1
  if [ "$status" = ACTIVE ]; then ACTIVE=true; fi
  if [ -n "$status" ]; then return; fi
  step "Certificate for $DOMAIN"
  run gcloud compute ssl-certificates create "$CERTIFICATE" --domains="$DOMAIN" --global --project="$PROJECT" ||
    die "could not create the certificate. $(cure)"
}

# learn_port: PORT, a free one on this machine, for a tunnel.
learn_port() {
  learn PORT python3 -c 'import socket; s = socket.create_server(("localhost", 0)); print(s.getsockname()[1])'
}

# smoke_at COMMAND...: the smoke test at URL: through the balancer, or through the tunnel that COMMAND opens on PORT.
smoke_at() {
  local outcome=0
  : "${SMOKE_WAIT:=600}" # a new balancer needs minutes until it answers
  if [ "$PUBLIC" = true ]; then
    URL=http://$ADDRESS
    if $ACTIVE; then URL=https://$DOMAIN; fi
    smoke "$URL"
    return
  fi
  step "A tunnel to it, for the address $ADDRESS is inside the network"
  if $DRY_RUN; then echo "$(quote "$@") &"; else
    say "+ $(quote "$@") &"
    "$@" >/dev/null &
  fi
  smoke "http://localhost:$PORT" || outcome=1
  if $DRY_RUN; then echo 'kill %1'; else { kill $! && wait $!; } 2>/dev/null || true; fi
  return $outcome
}

# show_balancer TUNNEL-COMMAND...: where it serves, and what that means.
show_balancer() {
  if $DRY_RUN; then return; fi
  if [ "$PUBLIC" = false ]; then
    say "Inside the network $NAME it is http://$ADDRESS. From here, while this runs: $(quote "$@")"
    PUBLIC=true show "http://localhost:$PORT" # nobody asks for a token there
    return
  fi
  if [ "$DOMAIN" = - ]; then
    say "Without DOMAIN it speaks HTTP: whoever is on the way can read and change pictures and answers. Fit for a trial."
  elif ! $ACTIVE; then
    say "The certificate for $DOMAIN is not there yet. Point $DOMAIN to $ADDRESS in its DNS, wait up to an hour, and run this again:"
    say "then it speaks HTTPS, and HTTP redirects there. Until then it speaks HTTP, which anybody on the way can read."
  fi
  show "$URL"
}

# to_remove_all WHAT COLLECTION FILTER: all of a Compute Engine collection that the filter finds, wherever they lie.
to_remove_all() {
  local found name region where collection
  read -ra collection <<<"$2"
  found=$(ask gcloud compute "${collection[@]}" list --project="$PROJECT" --filter="$3" --format='value[separator=" "](name,region.basename())') || exit 1
  while read -r name region; do
    if [ -z "$name" ]; then continue; fi
    case $2 in
      networks | firewall-rules | instance-templates) where=() ;; # are always global
      *) where=(--global) ;;
    esac
    if [ -n "$region" ]; then where=(--region="$region"); fi
    to_remove "$1 $name" gcloud compute "${collection[@]}" delete "$name" "${where[@]}" --project="$PROJECT" --quiet
  done <<<"$found"
}

to_remove_network() {
  to_remove_all "address" addresses "name=$NAME"
  to_remove_all "certificate" ssl-certificates "name~^$NAME-"
  to_remove_all "firewall rule" firewall-rules "network~/$NAME$"
  to_remove_all "subnet" "networks subnets" "network~/$NAME$"
  to_remove_all "network" networks "name=$NAME"
}
