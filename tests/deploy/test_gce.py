"""deploy/gce: first, second and new deployments, sick versions and the way back."""

import re

from .conftest import PROJECT, Deployments, Workplace
from .scenarios import DOMAIN, certificate_comes, dry_run_can_be_pasted, printed_curl_classifies
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


def test_first_deployment_is_tested_through_the_balancer_and_says_what_http_means(deployed: Deployments) -> None:
    outcome = deployed("gce", PUBLIC="true")
    assert "checks passed" in outcome.out
    assert any(re.fullmatch(r"203\.0\.113\.\d+ POST /predict 200", request) for request in deployed.requests)
    assert "Without DOMAIN it speaks HTTP" in outcome.err


def test_the_printed_curl_classifies_a_photo(deployed: Deployments, workplace: Workplace) -> None:
    printed_curl_classifies(workplace, deployed("gce", PUBLIC="true"))


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


def test_instances_run_as_an_account_that_may_only_read_images_and_write_logs(
    deployed: Deployments, cloud: Cloud
) -> None:
    deployed("gce", PUBLIC="true")
    email = f"quintet-gce@{PROJECT}.iam.gserviceaccount.com"
    assert [account["email"] for account in template(cloud)["serviceAccounts"]] == [email]
    roles = {b["role"] for b in cloud.resourcemanager.policy["bindings"] if f"serviceAccount:{email}" in b["members"]}
    assert roles == {"roles/artifactregistry.reader", "roles/logging.logWriter"}


def test_only_the_balancer_and_its_health_checks_reach_the_instances(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gce", PUBLIC="true")
    (rule,) = cloud.compute.named("firewalls").values()
    assert set(rule["sourceRanges"]) == {"35.191.0.0/16", "130.211.0.0/22"}
    assert rule["allowed"] == [{"IPProtocol": "tcp", "ports": ["8080"]}]


def test_sick_instances_are_replaced_and_busy_groups_grow(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gce", PUBLIC="true")
    (healing,) = group(cloud)["autoHealingPolicies"]
    assert healing["initialDelaySec"] == 120
    checks = cloud.compute.named("healthChecks")
    assert {check["httpHealthCheck"]["requestPath"] for check in checks.values()} == {"/ready"}
    assert checks["quintet-gce-alive"]["unhealthyThreshold"] > checks["quintet-gce"]["unhealthyThreshold"]
    (scaler,) = cloud.compute.named("autoscalers").values()
    assert (scaler["autoscalingPolicy"]["minNumReplicas"], scaler["autoscalingPolicy"]["maxNumReplicas"]) == (1, 2)


def test_second_deployment_changes_nothing(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("gce", PUBLIC="true")
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert cloud.changes(GOOGLE) == []
    assert "checks passed" in outcome.out


def test_new_version_rolls_with_nothing_unavailable(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("gce", PUBLIC="true")
    before = serving(cloud)
    workplace.new_commit()
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 0, outcome
    (update,) = cloud.sent(PATCHED)
    policy = update.body["updatePolicy"]
    assert (policy["type"], policy["maxUnavailable"]["fixed"], policy["maxSurge"]["fixed"]) == ("PROACTIVE", 0, 3)
    assert serving(cloud) != before


def test_version_that_never_gets_ready_goes_back(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("gce", PUBLIC="true")
    before = serving(cloud)
    workplace.new_commit()
    cloud.compute.never_ready = True
    outcome = workplace.run(DEPLOY, ROLLOUT_LIMIT="3")
    assert outcome.code == 1
    sick, back = (call.body["versions"][0]["instanceTemplate"].rpartition("/")[2] for call in cloud.sent(PATCHED))
    assert (sick != before, back, serving(cloud)) == (True, before, before)
    assert f"{before} serves again; it never stopped." in outcome.err
    assert "Its logs: gcloud logging read" in outcome.err


def test_wrong_answer_goes_back(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("gce", PUBLIC="true")
    before = serving(cloud)
    workplace.new_commit()
    cloud.frontend.tamper = lambda path, body: body.replace(b'"label"', b'"lable"', 1) if path == "/predict" else body
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 1
    assert "failed the smoke test" in outcome.err
    assert serving(cloud) == before


def test_first_version_that_never_gets_ready_has_nothing_to_go_back_to(
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    deployed("gce", PUBLIC="true")
    cloud.compute.take_away(
        "instanceGroupManagers", "instanceGroups", "autoscalers", "forwardingRules", "targetHttpProxies"
    )
    cloud.compute.take_away("urlMaps", "backendServices")
    cloud.compute.never_ready = True
    outcome = workplace.run(DEPLOY, ROLLOUT_LIMIT="3")
    assert outcome.code == 1
    assert "it was the first: nothing else serves" in outcome.err
    assert "deploy/gce/teardown.sh --env staging" in outcome.err


def test_half_made_balancer_is_finished(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("gce", PUBLIC="true")
    cloud.compute.take_away("forwardingRules", "targetHttpProxies")
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 0, outcome
    made = [change.rpartition("/")[2] for change in cloud.changes(GOOGLE)]
    assert made == ["setNamedPorts", "targetHttpProxies", "forwardingRules"]


def test_closing_takes_the_public_address_away_first_and_tests_through_a_tunnel(
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    outcome = deployed("gce", PUBLIC="true")
    workplace.settings(PUBLIC="false")
    outcome = workplace.run(DEPLOY)
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


def test_domain_speaks_http_until_its_certificate_is_there_and_then_redirects(
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    deployed("gce", PUBLIC="true")
    workplace.settings(PUBLIC="true", DOMAIN=DOMAIN)
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 0, outcome
    (address,) = {thing["address"] for thing in cloud.compute.named("addresses").values()}
    assert f"Point {DOMAIN} to {address}" in outcome.err
    outcome = certificate_comes(cloud, workplace, DEPLOY)
    assert f"serves at https://{DOMAIN}" in outcome.err
    cloud.forget()
    assert workplace.run(DEPLOY).code == 0
    assert cloud.changes(GOOGLE) == []


def test_domain_needs_a_public_address(cloud: Cloud, workplace: Workplace) -> None:
    workplace.settings(DOMAIN="quintet.example.com")
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 1
    assert "DOMAIN=quintet.example.com needs PUBLIC=true" in outcome.err
    assert cloud.changes() == []


def test_production_runs_two_instances_at_least(cloud: Cloud, workplace: Workplace) -> None:
    workplace.settings("production", MAX_INSTANCES=1)
    workplace.git("add", "-Af")
    workplace.git("commit", "-qm", "Settings")
    outcome = workplace.run(DEPLOY, "--env", "production", "--yes")
    assert outcome.code == 1
    assert "MAX_INSTANCES=1 is too few: production on gce runs at least 2 instances" in outcome.err
    assert cloud.changes() == []


def test_missing_permission_is_not_taken_for_a_missing_group(
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    deployed("gce", PUBLIC="true")
    cloud.fail("GET .*/instanceGroupManagers", permission_denied("compute.instanceGroupManagers.get", "quintet-gce"))
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 1
    assert f"lacks a role in {PROJECT}" in outcome.err
    assert cloud.changes(GOOGLE) == []


def test_dry_run_changes_nothing_and_what_it_prints_can_be_pasted(cloud: Cloud, workplace: Workplace) -> None:
    workplace.settings(PUBLIC="true")
    dry_run_can_be_pasted(cloud, workplace, DEPLOY)


def test_teardown_lists_asks_and_removes_from_the_front(
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    deployed("gce", PUBLIC="true")
    refused = workplace.run(TEARDOWN, answer="n\n")
    assert refused.code == 1
    assert "forwarding rule quintet-gce-http" in refused.err
    assert cloud.changes() == []
    outcome = workplace.run(TEARDOWN, "--yes")  # the simulator refuses what is still in use
    assert outcome.code == 0, outcome
    assert cloud.compute.things == {}
    assert set(cloud.iam.accounts) == {f"quintet-build@{PROJECT}.iam.gserviceaccount.com"}
    cloud.forget()
    again = workplace.run(TEARDOWN, "--yes")
    assert "Nothing of quintet on gce is left" in again.err
    assert cloud.changes() == []


def test_teardown_of_a_half_made_deployment(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("gce", PUBLIC="true")
    cloud.compute.take_away(
        "forwardingRules", "targetHttpProxies", "urlMaps", "backendServices", "instanceGroupManagers", "instanceGroups"
    )
    outcome = workplace.run(TEARDOWN, "--yes")
    assert outcome.code == 0, outcome
    assert cloud.compute.named("instanceTemplates") == cloud.compute.named("networks") == {}
