# shellcheck shell=bash
# The Application Load Balancer in front of the group: from the forwarding rule, through the proxy and the URL map, to the
# backend service. Each needs the next, so they are made from the back, and the rule last: where it is, the rest is.

# part COLLECTION NAME KIND FLAGS...: `gcloud compute COLLECTION create KIND NAME FLAGS`, where it is missing.
part() {
  local collection=$1 name=$2
  shift 2
  if exists gcloud compute "$collection" describe "$name" "${SCOPE[@]}" --format='value(name)'; then return; fi
  run gcloud compute "$collection" create "$name" "$@" "${SCOPE[@]}" || die "could not create $name of the $collection. $(cure)"
}

# need_backend: the backend service with the group behind it.
need_backend() {
  local group
  if [ "$PUBLIC" = false ]; then need_rule "$NAME-inside" "$PROXIES,35.235.240.0/20"; fi # its proxies, and IAP's tunnel
  run gcloud compute instance-groups set-named-ports "$NAME" --named-ports=http:8080 --region="$REGION" --project="$PROJECT" ||
    die "could not name the group's port. $(cure)"
  need_check "$NAME" "${SCOPE[@]}" -- --check-interval=5s --timeout=3s --healthy-threshold=1 --unhealthy-threshold=2
  part backend-services "$NAME" --load-balancing-scheme="$SCHEME" --protocol=HTTP --port-name=http --timeout=60s \
    --connection-draining-timeout=30s --health-checks="$NAME" "${CHECK_SCOPE[@]}"
  group=$(ask gcloud compute backend-services describe "$NAME" "${SCOPE[@]}" --format='value(backends[].group)') || exit 1
  if [ -z "$group" ]; then
    run gcloud compute backend-services add-backend "$NAME" --instance-group="$NAME" --instance-group-region="$REGION" \
      --balancing-mode=UTILIZATION --max-utilization=0.8 "${SCOPE[@]}" || die "could not put the group behind the balancer. $(cure)"
  fi
}

# need_forwarding SCHEME PORT PROXY-FLAG
need_forwarding() {
  local inside=()
  if [ "$PUBLIC" = false ]; then inside=(--network="$NAME" --subnet="$NAME" "$3-region=$REGION" --address-region="$REGION"); fi
  part forwarding-rules "$NAME-$1" --load-balancing-scheme="$SCHEME" --address="$NAME" --ports="$2" "$3=$NAME-$1" "${inside[@]}"
}

need_balancer() {
  SCHEME=EXTERNAL_MANAGED CHECK_SCOPE=(--global-health-checks)
  if [ "$PUBLIC" = false ]; then SCHEME=INTERNAL_MANAGED CHECK_SCOPE=(--health-checks-region="$REGION"); fi
  if ! exists gcloud compute forwarding-rules describe "$NAME-http" "${SCOPE[@]}" --format='value(name)'; then
    step "Load balancer"
    need_backend
    part url-maps "$NAME" --default-service="$NAME"
    part target-http-proxies "$NAME-http" --url-map="$NAME"
    need_forwarding http 80 --target-http-proxy
  fi
  if [ -n "$CERTIFICATE" ]; then need_https; fi
}

# need_https: the same on port 443; and once the certificate is active, port 80 redirects there.
need_https() {
  local used map
  used=$(ask gcloud compute target-https-proxies describe "$NAME-https" "${SCOPE[@]}" --format='value(sslCertificates[0].basename())') || exit 1
  if [ -z "$used" ]; then
    step "HTTPS"
    run gcloud compute target-https-proxies create "$NAME-https" --url-map="$NAME" --ssl-certificates="$CERTIFICATE" "${SCOPE[@]}" ||
      die "could not create the HTTPS proxy. $(cure)"
  elif [ "$used" != "$CERTIFICATE" ]; then
    run gcloud compute target-https-proxies update "$NAME-https" --ssl-certificates="$CERTIFICATE" "${SCOPE[@]}" ||
      die "could not change the certificate. $(cure)"
  fi
  need_forwarding https 443 --target-https-proxy
  map=$(ask gcloud compute target-http-proxies describe "$NAME-http" "${SCOPE[@]}" --format='value(urlMap.basename())') || exit 1
  if ! $ACTIVE || [ "$map" = "$NAME-redirect" ]; then return; fi
  step "The certificate is active: HTTP redirects to HTTPS"
  learn REDIRECT mktemp
  write "$REDIRECT" "$(printf '%s\n' "name: $NAME-redirect" 'defaultUrlRedirect: {httpsRedirect: true, redirectResponseCode: MOVED_PERMANENTLY_DEFAULT}')"
  run gcloud compute url-maps import "$NAME-redirect" --source="$REDIRECT" --quiet "${SCOPE[@]}" || die "could not create the redirect. $(cure)"
  run gcloud compute target-http-proxies update "$NAME-http" --url-map="$NAME-redirect" "${SCOPE[@]}" || die "could not switch the redirect on. $(cure)"
}

# close_if_private: PUBLIC=false takes the public way in away before anything else happens.
close_if_private() {
  local rules rule
  if [ "$PUBLIC" = true ]; then return; fi
  rules=$(ask gcloud compute forwarding-rules list --global --project="$PROJECT" --filter="name~^$NAME-http" --format='value(name)') || exit 1
  for rule in $rules; do
    step "PUBLIC=false: take the public address away"
    run gcloud compute forwarding-rules delete "$rule" --global --project="$PROJECT" --quiet || die "could not close $rule. $(cure)"
  done
}
