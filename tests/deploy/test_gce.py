"""deploy/gce: first, second and new deployments, failed releases, rollback and teardown."""

import re

import yaml

from .conftest import PROJECT, Checkout, Deployments
from .scenarios import DOMAIN, check_dry_run_output_deploys, check_https_once_certificate_is_active, check_printed_curl
from .simulator import Cloud
from .simulator.service import permission_denied

DEPLOY = "deploy/gce/deploy.sh"
TEARDOWN = "deploy/gce/teardown.sh"
GOOGLE = r"googleapis\.com"  # calls to Google's APIs, not to the app behind the balancer
PATCHED = "PATCH .*/instanceGroupManagers/quintet-gce$"


def group(cloud: Cloud) -> dict:
    return cloud.compute.named("instanceGroupManagers")["quintet-gce"]


def serving(cloud: Cloud) -> str:
    """The template whose instances have the traffic."""
    return group(cloud)["serves"].rpartition("/")[2]


def template(cloud: Cloud) -> dict:
    return cloud.compute.named("instanceTemplates")[serving(cloud)]["properties"]


def test_first_deployment_is_tested_through_the_load_balancer_and_warns_about_http(deployed: Deployments) -> None:
    outcome = deployed("gce", PUBLIC="true")
    assert "checks passed" in outcome.out
    assert any(re.fullmatch(r"203\.0\.113\.\d+ POST /predict 200", request) for request in deployed.requests)
    assert "Warning: without DOMAIN the service uses HTTP" in outcome.err


def test_printed_curl_command_classifies_an_image(deployed: Deployments, checkout: Checkout) -> None:
    check_printed_curl(checkout, deployed("gce", PUBLIC="true"))


def test_instances_have_no_public_address_and_run_the_image_by_digest(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gce", PUBLIC="true")
    (network,) = template(cloud)["networkInterfaces"]
    assert "accessConfigs" not in network
    assert network["subnetwork"].endswith("/subnetworks/quintet-gce")
    assert cloud.compute.named("subnetworks")["quintet-gce"]["privateIpGoogleAccess"] is True
    (disk,) = template(cloud)["disks"]
    assert disk["initializeParams"]["sourceImage"].endswith("projects/cos-cloud/global/images/family/cos-stable")
    text = cloud.compute.user_data(cloud.compute.named("instanceTemplates")[serving(cloud)])
    assert re.search(rf"europe-west1-docker.pkg.dev/{PROJECT}/quintet/quintet@sha256:[0-9a-f]{{64}}\n", text)
    assert "${" not in text
    assert text.startswith("#cloud-config\n")  # without this line cloud-init ignores the file


def test_container_has_no_privileges_and_writes_json_logs(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gce", PUBLIC="true")
    text = cloud.compute.user_data(cloud.compute.named("instanceTemplates")[serving(cloud)])
    (unit,) = yaml.safe_load(text)["write_files"]
    command = re.search(r"^ExecStart=(.*)", unit["content"].replace("\\\n", ""), re.M)[1].split()
    hardened = {"--user=65532:65532", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"}
    assert hardened | {"--env=LOG_FORMAT=json"} <= set(command)


def test_instances_send_their_logs_and_ignore_the_ssh_keys_of_the_project(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gce", PUBLIC="true")
    metadata = {item["key"]: item["value"] for item in template(cloud)["metadata"]["items"]}
    assert metadata["google-logging-enabled"] == "true"
    assert metadata["block-project-ssh-keys"] == "true"


def test_instances_are_shielded(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gce", PUBLIC="true")
    assert template(cloud)["shieldedInstanceConfig"] == {
        "enableSecureBoot": True,
        "enableVtpm": True,
        "enableIntegrityMonitoring": True,
    }


def test_service_account_can_only_read_images_and_write_logs(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gce", PUBLIC="true")
    email = f"quintet-gce@{PROJECT}.iam.gserviceaccount.com"
    assert [account["email"] for account in template(cloud)["serviceAccounts"]] == [email]
    roles = {b["role"] for b in cloud.resourcemanager.policy["bindings"] if f"serviceAccount:{email}" in b["members"]}
    assert roles == {"roles/artifactregistry.reader", "roles/logging.logWriter"}


def test_firewall_allows_only_the_load_balancer_and_its_health_checks(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gce", PUBLIC="true")
    (rule,) = cloud.compute.named("firewalls").values()
    assert set(rule["sourceRanges"]) == {"35.191.0.0/16", "130.211.0.0/22"}
    assert rule["allowed"] == [{"IPProtocol": "tcp", "ports": ["8080"]}]
    assert rule["targetServiceAccounts"] == [f"quintet-gce@{PROJECT}.iam.gserviceaccount.com"]


def test_load_balancer_allows_a_request_a_minute(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gce", PUBLIC="true")
    (backend,) = cloud.compute.named("backendServices").values()
    assert backend["timeoutSec"] == 60
    assert backend["connectionDraining"]["drainingTimeoutSec"] == 30


def test_autohealing_and_autoscaling_are_configured(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gce", PUBLIC="true")
    (policy,) = group(cloud)["autoHealingPolicies"]
    assert policy["initialDelaySec"] == 120
    checks = cloud.compute.named("healthChecks")
    assert {check["httpHealthCheck"]["requestPath"] for check in checks.values()} == {"/ready"}
    assert checks["quintet-gce-alive"]["unhealthyThreshold"] > checks["quintet-gce"]["unhealthyThreshold"]
    (scaler,) = cloud.compute.named("autoscalers").values()
    assert (scaler["autoscalingPolicy"]["minNumReplicas"], scaler["autoscalingPolicy"]["maxNumReplicas"]) == (1, 2)


def test_second_deployment_changes_nothing(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gce", PUBLIC="true")
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert cloud.changes(GOOGLE) == []
    assert "checks passed" in outcome.out


def test_new_release_is_rolled_out_without_downtime(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gce", PUBLIC="true")
    before = serving(cloud)
    checkout.new_commit()
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    (update,) = cloud.sent(PATCHED)
    policy = update.body["updatePolicy"]
    assert (policy["type"], policy["maxUnavailable"]["fixed"], policy["maxSurge"]["fixed"]) == ("PROACTIVE", 0, 3)
    assert serving(cloud) != before


def test_release_that_is_never_ready_is_rolled_back(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gce", PUBLIC="true")
    before = serving(cloud)
    checkout.new_commit()
    cloud.compute.never_ready = True
    outcome = checkout.run(DEPLOY, ROLLOUT_LIMIT="3")
    assert outcome.code == 1
    failed, restored = (call.body["versions"][0]["instanceTemplate"].rpartition("/")[2] for call in cloud.sent(PATCHED))
    assert (failed != before, restored, serving(cloud)) == (True, before, before)
    assert f"rolled back to {before}, which was never interrupted." in outcome.err
    assert "Read the logs: gcloud logging read" in outcome.err


def test_group_whose_instances_are_still_changing_is_not_ready(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gce", PUBLIC="true")
    group(cloud)["status"]["isStable"] = False
    outcome = checkout.run(DEPLOY, ROLLOUT_LIMIT="2")
    assert outcome.code == 1
    assert "did not become ready within 2 s" in outcome.err


def test_release_with_wrong_predictions_is_rolled_back(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gce", PUBLIC="true")
    before = serving(cloud)
    checkout.new_commit()
    cloud.frontend.tamper = lambda path, body: body.replace(b'"label"', b'"lable"', 1) if path == "/predict" else body
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "failed the smoke test" in outcome.err
    assert serving(cloud) == before


def test_first_release_that_is_never_ready_has_none_to_restore(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gce", PUBLIC="true")
    cloud.compute.take_away(
        "instanceGroupManagers", "instanceGroups", "autoscalers", "forwardingRules", "targetHttpProxies"
    )
    cloud.compute.take_away("urlMaps", "backendServices")
    cloud.compute.never_ready = True
    outcome = checkout.run(DEPLOY, ROLLOUT_LIMIT="3")
    assert outcome.code == 1
    assert "it was the first release, so there is none to restore" in outcome.err
    assert "deploy/gce/teardown.sh --env staging" in outcome.err


def test_incomplete_load_balancer_is_completed(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gce", PUBLIC="true")
    cloud.compute.take_away("forwardingRules", "targetHttpProxies")
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    created = [change.rpartition("/")[2] for change in cloud.changes(GOOGLE)]
    assert created == ["setNamedPorts", "targetHttpProxies", "forwardingRules"]


def test_public_false_deletes_the_public_address_first_and_tests_through_a_tunnel(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    outcome = deployed("gce", PUBLIC="true")
    checkout.settings(PUBLIC="false")
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    changes = [change for change in cloud.changes(GOOGLE) if "services:" not in change]
    assert changes[0].endswith(
        "DELETE compute.googleapis.com/compute/v1/projects/quintet-staging/global/forwardingRules/quintet-gce-http"
    )
    (rule,) = cloud.compute.named("forwardingRules").values()
    assert rule["loadBalancingScheme"] == "INTERNAL_MANAGED"
    ranges = cloud.compute.named("firewalls")["quintet-gce-inside"]["sourceRanges"]
    assert set(ranges) == {"10.8.16.0/23", "35.235.240.0/20"}  # the internal balancer's proxies, and IAP
    assert "IAP tunnel to quintet-gce-0000 8080" in cloud.frontend.requests
    assert "checks passed" in outcome.out


def test_domain_uses_http_until_its_certificate_is_active_and_then_redirects(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gce", PUBLIC="true")
    checkout.settings(PUBLIC="true", DOMAIN=DOMAIN)
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    (address,) = {thing["address"] for thing in cloud.compute.named("addresses").values()}
    assert f"Create a DNS record that points {DOMAIN} to {address}" in outcome.err
    outcome = check_https_once_certificate_is_active(cloud, checkout, DEPLOY)
    assert f"is deployed at https://{DOMAIN}" in outcome.err
    cloud.forget()
    assert checkout.run(DEPLOY).code == 0
    assert cloud.changes(GOOGLE) == []


def test_domain_with_public_false_is_rejected(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(DOMAIN="quintet.example.com")
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "invalid DOMAIN 'quintet.example.com': expected - with PUBLIC=false" in outcome.err
    assert cloud.changes() == []


def test_production_runs_at_least_two_instances(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings("production", MAX_INSTANCES=1)
    checkout.git("add", "-Af")
    checkout.git("commit", "-qm", "Settings")
    outcome = checkout.run(DEPLOY, "--env", "production", "--yes")
    assert outcome.code == 1
    assert "invalid MAX_INSTANCES '1': expected at least 2 for production on gce" in outcome.err
    assert cloud.changes() == []


def test_missing_permission_is_not_mistaken_for_a_missing_group(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gce", PUBLIC="true")
    cloud.fail("GET .*/instanceGroupManagers", permission_denied("compute.instanceGroupManagers.get", "quintet-gce"))
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert f"lacks a role in {PROJECT}" in outcome.err
    assert cloud.changes(GOOGLE) == []


def test_dry_run_changes_nothing_and_its_output_deploys(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(PUBLIC="true")
    check_dry_run_output_deploys(cloud, checkout, DEPLOY)


def test_teardown_lists_confirms_and_removes(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gce", PUBLIC="true")
    declined = checkout.run(TEARDOWN, answer="n\n")
    assert declined.code == 1
    assert "forwarding rule quintet-gce-http" in declined.err
    assert cloud.changes() == []
    outcome = checkout.run(TEARDOWN, "--yes")  # the simulator rejects the deletion of a resource that is in use
    assert outcome.code == 0, outcome
    assert cloud.compute.things == {}
    assert set(cloud.iam.accounts) == {f"quintet-build@{PROJECT}.iam.gserviceaccount.com"}
    cloud.forget()
    again = checkout.run(TEARDOWN, "--yes")
    assert "No resources of quintet on gce are left" in again.err
    assert cloud.changes() == []


def test_teardown_of_an_incomplete_deployment(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gce", PUBLIC="true")
    cloud.compute.take_away(
        "forwardingRules", "targetHttpProxies", "urlMaps", "backendServices", "instanceGroupManagers", "instanceGroups"
    )
    outcome = checkout.run(TEARDOWN, "--yes")
    assert outcome.code == 0, outcome
    assert cloud.compute.named("instanceTemplates") == cloud.compute.named("networks") == {}
