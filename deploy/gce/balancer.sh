# shellcheck shell=bash
# The Application Load Balancer in front of the group: forwarding rule -> proxy -> URL map -> backend service. Each part refers
# to the next one, so they are created in reverse order. If the forwarding rule exists, so do the other parts.

# ensure_part COLLECTION NAME FLAGS...
ensure_part() {
  local collection=$1 part=$2
  shift 2
  if exists gcloud compute "$collection" describe "$part" "$SCOPE" --project="$PROJECT" --format='value(name)'; then return; fi
  run gcloud compute "$collection" create "$part" "$@" "$SCOPE" --project="$PROJECT" ||
    die "could not create $part in $collection. $(hint)"
}

# balancer_scheme: external or internal, the same for the backend service and the forwarding rules.
balancer_scheme() {
  if [ "$PUBLIC" = true ]; then echo EXTERNAL_MANAGED; else echo INTERNAL_MANAGED; fi
}

# ensure_backend: the backend service with the group behind it.
ensure_backend() {
  local group check_scope=--global-health-checks
  if [ "$PUBLIC" = false ]; then
    check_scope=--health-checks-region=$REGION
    ensure_firewall_rule "$NAME-inside" "$PROXY_RANGE,35.235.240.0/20" # the load balancer's proxies, and Identity-Aware Proxy's tunnel
  fi
  run gcloud compute instance-groups set-named-ports "$NAME" --named-ports=http:8080 --region="$REGION" --project="$PROJECT" ||
    die "could not name the group's port. $(hint)"
  ensure_health_check "$NAME" "$SCOPE" --check-interval=5s --timeout=3s --healthy-threshold=1 --unhealthy-threshold=2
  ensure_part backend-services "$NAME" --load-balancing-scheme="$(balancer_scheme)" --protocol=HTTP --port-name=http --timeout=60s \
    --connection-draining-timeout=30s --health-checks="$NAME" "$check_scope"
  group=$(query gcloud compute backend-services describe "$NAME" "$SCOPE" --project="$PROJECT" --format='value(backends[].group)') || exit 1
  if [ -n "$group" ]; then return; fi
  run gcloud compute backend-services add-backend "$NAME" --instance-group="$NAME" --instance-group-region="$REGION" \
    --balancing-mode=UTILIZATION --max-utilization=0.8 "$SCOPE" --project="$PROJECT" ||
    die "could not add the group to the backend service. $(hint)"
}

# ensure_forwarding_rule SCHEME PORT PROXY-FLAG
ensure_forwarding_rule() {
  local flags=(--address="$NAME" --ports="$2" "$3=$NAME-$1")
  if [ "$PUBLIC" = false ]; then flags+=(--network="$NAME" --subnet="$NAME" "$3-region=$REGION" --address-region="$REGION"); fi
  ensure_part forwarding-rules "$NAME-$1" --load-balancing-scheme="$(balancer_scheme)" "${flags[@]}"
}

ensure_balancer() {
  if ! exists gcloud compute forwarding-rules describe "$NAME-http" "$SCOPE" --project="$PROJECT" --format='value(name)'; then
    step "Load balancer"
    ensure_backend
    ensure_part url-maps "$NAME" --default-service="$NAME"
    ensure_part target-http-proxies "$NAME-http" --url-map="$NAME"
    ensure_forwarding_rule http 80 --target-http-proxy
  fi
  if [ -n "$CERTIFICATE" ]; then
    ensure_https
    ensure_redirect
  fi
}

# ensure_https: the same URL map on port 443.
ensure_https() {
  local current
  current=$(query gcloud compute target-https-proxies describe "$NAME-https" "$SCOPE" --project="$PROJECT" --format='value(sslCertificates[0].basename())') || exit 1
  if [ -z "$current" ]; then
    step "HTTPS"
    run gcloud compute target-https-proxies create "$NAME-https" --url-map="$NAME" --ssl-certificates="$CERTIFICATE" "$SCOPE" --project="$PROJECT" ||
      die "could not create the HTTPS proxy. $(hint)"
  elif [ "$current" != "$CERTIFICATE" ]; then
    run gcloud compute target-https-proxies update "$NAME-https" --ssl-certificates="$CERTIFICATE" "$SCOPE" --project="$PROJECT" ||
      die "could not change the certificate. $(hint)"
  fi
  ensure_forwarding_rule https 443 --target-https-proxy
}

# ensure_redirect: once the certificate is active, port 80 redirects to HTTPS.
ensure_redirect() {
  local url_map
  url_map=$(query gcloud compute target-http-proxies describe "$NAME-http" "$SCOPE" --project="$PROJECT" --format='value(urlMap.basename())') || exit 1
  if ! $CERTIFICATE_ACTIVE || [ "$url_map" = "$NAME-redirect" ]; then return; fi
  step "The certificate is active: redirect HTTP to HTTPS"
  make_work_folder
  write_file "$WORK/redirect.yaml" "$(printf '%s\n' "name: $NAME-redirect" 'defaultUrlRedirect: {httpsRedirect: true, redirectResponseCode: MOVED_PERMANENTLY_DEFAULT}')"
  run gcloud compute url-maps import "$NAME-redirect" --source="$WORK/redirect.yaml" --quiet "$SCOPE" --project="$PROJECT" ||
    die "could not create the redirect. $(hint)"
  run gcloud compute target-http-proxies update "$NAME-http" --url-map="$NAME-redirect" "$SCOPE" --project="$PROJECT" ||
    die "could not turn on the redirect. $(hint)"
}

# revoke_public_access: if PUBLIC=false, delete the public forwarding rules before the deployment.
revoke_public_access() {
  local rules rule
  if [ "$PUBLIC" = true ]; then return; fi
  rules=$(query gcloud compute forwarding-rules list --global --project="$PROJECT" --filter="name~^$NAME-http" --format='value(name)') || exit 1
  for rule in $rules; do
    step "PUBLIC=false: delete the public forwarding rule"
    run gcloud compute forwarding-rules delete "$rule" --global --project="$PROJECT" --quiet || die "could not delete $rule. $(hint)"
  done
}
