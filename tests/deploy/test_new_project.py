"""A real new project: changes take effect late, calls fail once, policies and quotas forbid some commands."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from .conftest import PROJECT, ROOT, Checkout, Deployments, Outcome
from .simulator import OPEN_BUILD_REGIONS, Cloud
from .simulator.service import not_found, permission_denied

TARGETS = ["cloudrun", "functions", "gae", "gce", "gke"]


def enable_waitable_conditions(cloud: Cloud) -> None:
    """Everything that passes if one waits."""
    on = cloud.conditions
    on.api_delay = on.account_delay = on.grant_delay = on.agent_delay = 2
    on.conflicts = on.rate_limits = 1
    on.unavailable_every = 12
    on.disabled_apis = ["cloudresourcemanager.googleapis.com"]


@pytest.mark.parametrize("target", TARGETS)
def test_deployment_waits_until_changes_take_effect(target: str, cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(PUBLIC="true")
    enable_waitable_conditions(cloud)
    outcome = checkout.run(f"deploy/{target}/deploy.sh")
    assert outcome.code == 0, outcome
    assert "retrying in 0.2 s, for at most" in outcome.err
    again = checkout.run(f"deploy/{target}/deploy.sh")
    assert again.code == 0, again
    removed = checkout.run(f"deploy/{target}/teardown.sh", "--yes")
    assert removed.code == 0, removed


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("api_delay", 3),
        ("account_delay", 3),
        ("grant_delay", 3),
        ("agent_delay", 3),
        ("conflicts", 1),
        ("rate_limits", 1),
        ("unavailable_every", 5),
        ("disabled_apis", ["cloudresourcemanager.googleapis.com"]),
    ],
)
def test_each_condition_is_waited_out(condition: str, value: object, cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(PUBLIC="true")
    setattr(cloud.conditions, condition, value)
    outcome = checkout.run("deploy/cloudrun/deploy.sh")
    assert outcome.code == 0, outcome


def test_build_account_is_confirmed_before_the_source_is_uploaded(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.grant_delay = 3
    outcome = checkout.run("deploy/cloudrun/deploy.sh")
    assert outcome.code == 0, outcome
    builds = cloud.sent("POST cloudbuild.googleapis.com/.*/builds$")
    assert [bool(call.body.get("images")) for call in builds] == [False] * 4 + [True]


def test_permission_error_that_concerns_no_change_of_the_run_is_final(cloud: Cloud, checkout: Checkout) -> None:
    cloud.fail("POST artifactregistry", permission_denied("artifactregistry.repositories.create", PROJECT))
    outcome = checkout.run("deploy/cloudrun/deploy.sh")
    assert outcome.code == 1
    assert "retrying" not in outcome.err
    assert f"The caller (gcloud config get account) lacks a role in {PROJECT}" in outcome.err


def fake_clock(folder: Path) -> None:
    """`date +%s` and `sleep` that use a counter instead of the time."""
    (folder / "now").write_text("1000000")
    scripts = {
        "date": f'[ "$1" = +%s ] && exec cat {folder}/now\nexec /bin/date "$@"',
        "sleep": f"expr $(cat {folder}/now) + $1 >{folder}/next\nmv {folder}/next {folder}/now",
    }
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)


def test_real_limit_is_seven_minutes_with_a_visible_countdown(checkout: Checkout, tmp_path: Path) -> None:
    fake_clock(tmp_path)
    script = """
        source deploy/lib/shell.sh; source deploy/lib/propagation.sh
        record_change quintet-build@p.iam.gserviceaccount.com
        run sh -c 'echo "Service account quintet-build@p.iam.gserviceaccount.com does not exist." >&2; exit 1'
    """
    names = [name for name in checkout.environment if name.endswith(("_LIMIT", "_INTERVAL"))]
    unset = [word for name in names for word in ("-u", name)]
    path = f"{tmp_path}:{checkout.environment['PATH']}"
    outcome = checkout.run("env", *unset, "bash", "-euo", "pipefail", "-c", script, PATH=path)
    assert outcome.code == 1
    countdown = [int(seconds) for seconds in re.findall(r"retrying in 10 s, for at most (\d+) s", outcome.err)]
    assert countdown == list(range(420, 0, -10))


def test_resource_that_a_failed_attempt_created_counts_as_created(checkout: Checkout, tmp_path: Path) -> None:
    script = f"""
        source deploy/lib/shell.sh; source deploy/lib/propagation.sh
        create() {{
          if [ -f {tmp_path}/created ]; then echo "ALREADY_EXISTS: it already exists" >&2; return 1; fi
          touch {tmp_path}/created
          echo "UNAVAILABLE: the service is currently unavailable" >&2
          return 1
        }}
        run create
    """
    outcome = checkout.run("bash", "-euo", "pipefail", "-c", script)
    assert outcome.code == 0, outcome
    assert "The service is busy; retrying" in outcome.err


def test_incomplete_list_is_an_error(checkout: Checkout) -> None:
    """`gcloud compute ... list` exits with 0 although it could not read every region."""
    script = """
        source deploy/lib/shell.sh; source deploy/lib/propagation.sh; PROJECT=p SERVICE=quintet
        query sh -c 'echo one; echo "WARNING: Some requests did not succeed." >&2'
    """
    outcome = checkout.run("bash", "-euo", "pipefail", "-c", script)
    assert outcome.code == 1
    assert "error: command failed: sh -c" in outcome.err


def test_limits_are_longer_than_what_they_wait_for() -> None:
    text = (ROOT / "deploy/lib/propagation.sh").read_text()
    limits = {name: int(seconds) for name, seconds in re.findall(r"\{(\w+_LIMIT):=(\d+)\}", text)}
    deployment = (ROOT / "deploy/gke/base/deployment.yaml").read_text()
    assert limits["ROLLOUT_LIMIT"] > int(re.search(r"progressDeadlineSeconds: (\d+)", deployment)[1])
    assert limits["SMOKE_LIMIT"] >= 60  # the startup probe of service.yaml
    assert limits["BALANCER_LIMIT"] >= 300  # a new load balancer takes minutes


@pytest.mark.parametrize(
    ("error", "member"),
    [
        ("PERMISSION_DENIED: Permission 'run.services.update' denied", "The caller (gcloud config get account) lacks"),
        ("quintet-build@p.iam.gserviceaccount.com does not have storage.objects.get access", "The build account"),
        ("Agent service-1@gcp-gae-service.iam.gserviceaccount.com must have permission: denied", "Google's service"),
        ("PERMISSION_DENIED: Permission 'iam.serviceaccounts.actAs' denied on service account quintet-run@p.iam."
         "gserviceaccount.com", "lacks roles/iam.serviceAccountUser on quintet-run@"),
        ("UREQ_PROJECT_BILLING_NOT_FOUND", "Billing is not enabled for"),
        ("reason: USER_PROJECT_DENIED", "gcloud config unset billing/quota_project"),
    ],
)  # fmt: skip
def test_hint_names_whose_permission_is_missing(error: str, member: str, checkout: Checkout) -> None:
    script = 'source deploy/lib/shell.sh; PROJECT=p SERVICE=quintet; echo "$1" >"$ERROR_FILE"; hint'
    assert member in checkout.run("bash", "-euc", script, "bash", error).out


@pytest.mark.parametrize("target", TARGETS)
def test_missing_billing_is_reported_before_any_resource_exists(target: str, cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.billing_enabled = False
    checkout.settings(PUBLIC="true")
    outcome = checkout.run(f"deploy/{target}/deploy.sh")
    assert outcome.code == 1
    assert f"Billing is not enabled for {PROJECT}. Link a billing account: https://" in outcome.err
    assert cloud.changes() == [f"POST serviceusage.googleapis.com/v1/projects/{PROJECT}/services:batchEnable"]


def test_project_that_may_not_build_in_its_region_builds_in_the_global_pool(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.build_regions = OPEN_BUILD_REGIONS
    checkout.settings(REGION="europe-west4")
    outcome = checkout.run("deploy/cloudrun/deploy.sh")
    assert outcome.code == 0, outcome
    assert "This project may not build in europe-west4. Building in the global pool" in outcome.err
    assert {where.lower() for where in cloud.storage.locations.values()} == {"europe-west4"}


def test_build_region_is_used(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.build_regions = OPEN_BUILD_REGIONS
    checkout.settings(REGION="europe-west4", BUILD_REGION="europe-west1")
    outcome = checkout.run("deploy/cloudrun/deploy.sh")
    assert outcome.code == 0, outcome
    assert all("/europe-west1/" in str(call) for call in cloud.sent("POST cloudbuild.*/builds$"))


def test_function_in_a_region_without_builds_names_the_open_regions(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.build_regions = OPEN_BUILD_REGIONS
    checkout.settings(REGION="europe-west4")
    outcome = checkout.run("deploy/functions/deploy.sh")
    assert outcome.code == 1
    assert "REGION to one of us-central1, us-west2, europe-west1" in outcome.err
    assert cloud.run.services == {}


def test_first_rollout_and_update_fit_the_cpu_quota_of_a_trial(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gce", PUBLIC="true")
    cloud.conditions.cpu_quota = 8
    checkout.new_commit()
    outcome = checkout.run("deploy/gce/deploy.sh", ROLLOUT_LIMIT="3")
    assert outcome.code == 0, outcome


@pytest.mark.parametrize("target", ["gce", "gke"])
def test_tunnel_that_drops_is_opened_again(
    target: str, deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed(target, PUBLIC="false")
    cloud.conditions.dropped_tunnels = 2
    outcome = checkout.run(f"deploy/{target}/deploy.sh", TUNNEL_LIMIT="60")
    assert outcome.code == 0, outcome
    assert "checks passed" in outcome.out
    assert cloud.changes(r"googleapis\.com") == []


def test_service_that_cannot_be_reached_is_not_rolled_back(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gke", PUBLIC="false")
    checkout.new_commit()
    cloud.conditions.dropped_tunnels = 1000
    outcome = checkout.run("deploy/gke/deploy.sh", TUNNEL_LIMIT="3")
    assert outcome.code == 1
    assert "could not reach http://localhost:" in outcome.err
    assert "Nothing was rolled back" in outcome.err
    head = checkout.git("rev-parse", "HEAD")[:7]
    assert cloud.kubernetes.serving()["metadata"]["labels"]["release"].startswith(head)


def test_teardown_removes_roles_and_leaves_gke_its_own_firewall_rules(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.gke_firewall_rules = cloud.conditions.deleted_members = True
    checkout.settings(PUBLIC="true")
    assert checkout.run("deploy/gke/deploy.sh").code == 0
    outcome = checkout.run("deploy/gke/teardown.sh", "--yes")
    assert outcome.code == 0, outcome
    assert "firewall rule gke-" not in outcome.err
    members = {member for binding in cloud.resourcemanager.policy["bindings"] for member in binding["members"]}
    assert members == {f"serviceAccount:quintet-build@{PROJECT}.iam.gserviceaccount.com"}
    assert cloud.compute.things == {}


def test_teardown_removes_deleted_members_of_an_earlier_teardown(cloud: Cloud, checkout: Checkout) -> None:
    member = f"deleted:serviceAccount:quintet-gce@{PROJECT}.iam.gserviceaccount.com?uid=1"
    cloud.resourcemanager.policy["bindings"] = [{"role": "roles/logging.logWriter", "members": [member]}]
    outcome = checkout.run("deploy/gce/teardown.sh", "--yes")
    assert outcome.code == 0, outcome
    assert member not in str(cloud.resourcemanager.policy)


def test_resource_that_is_gone_counts_as_removed(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("cloudrun", PUBLIC="true")
    cloud.fail("DELETE .*/services/quintet", not_found("Service quintet"))
    outcome = checkout.run("deploy/cloudrun/teardown.sh", "--yes")
    assert outcome.code == 0, outcome


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("API_KEY", {"env": {"name": "API_KEY", "value": "x"}}),
        ("run.googleapis.com/vpc-access-egress", {"annotation": "run.googleapis.com/vpc-access-egress"}),
    ],
)
def test_unknown_changes_of_the_service_are_named_and_kept(
    name: str, changes: dict, deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("cloudrun", PUBLIC="true")
    template = cloud.run.services["quintet"]["spec"]["template"]
    if "env" in changes:
        template["spec"]["containers"][0]["env"].append(changes["env"])
    else:
        template["metadata"]["annotations"][changes["annotation"]] = "all-traffic"
    checkout.new_commit()
    outcome = checkout.run("deploy/cloudrun/deploy.sh")
    assert outcome.code == 1
    assert f"settings that deploy.sh would remove: {name}. Add them to deploy/cloudrun/service.yaml" in outcome.err
    assert cloud.changes() == []


def deploy_to_an_internal_service(
    target: str, name: str, ingress: str, cloud: Cloud, checkout: Checkout
) -> tuple[Outcome, str]:
    """What deploy.sh printed, and the ingress of the service `name` after it."""
    cloud.run.services[name]["metadata"]["annotations"]["run.googleapis.com/ingress"] = "internal"
    checkout.settings(PUBLIC="true", INGRESS=ingress)
    checkout.new_commit()
    outcome = checkout.run(f"deploy/{target}/deploy.sh")
    return outcome, cloud.run.services[name]["metadata"]["annotations"]["run.googleapis.com/ingress"]


def test_ingress_that_somebody_else_set_is_kept(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("cloudrun", PUBLIC="true")
    outcome, ingress = deploy_to_an_internal_service("cloudrun", "quintet", "-", cloud, checkout)
    assert ingress == "internal"
    assert outcome.code == 1  # this machine is outside the network, so the candidate cannot be tested from it
    assert "could not reach" in outcome.err
    assert "INGRESS, which may admit only internal requests" in outcome.err


@pytest.mark.parametrize(("target", "name"), [("cloudrun", "quintet"), ("functions", "quintet-function")])
def test_ingress_is_set(target: str, name: str, deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed(target, PUBLIC="true")
    outcome, ingress = deploy_to_an_internal_service(target, name, "all", cloud, checkout)
    assert outcome.code == 0, outcome
    assert ingress == "all"


def test_failed_first_deployment_does_not_block_the_next_one(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.unnamed_traffic = True
    cloud.run.never_ready = True
    assert checkout.run("deploy/cloudrun/deploy.sh").code == 1
    cloud.run.never_ready = False
    outcome = checkout.run("deploy/cloudrun/deploy.sh")
    assert outcome.code == 0, outcome


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ("cloudrun", {"CPU": 4, "MEMORY": "512Mi"}, "invalid MEMORY '512Mi': expected at least 2048Mi with CPU=4"),
        ("functions", {"CPU": 8, "MEMORY": "2Gi"}, "invalid MEMORY '2Gi': expected at least 4096Mi with CPU=8"),
        ("cloudrun", {"MEMORY": "8Gi"}, "invalid CPU '1': expected at least 2 with MEMORY=8Gi"),
        ("cloudrun", {"MEMORY": "256Mi"}, "invalid MEMORY '256Mi': expected at least 512Mi with CPU=1"),
        ("gae", {"GAE_ENVIRONMENT": "flexible", "CPU": 2}, "invalid CPU '2': expected 1 with GAE_ENVIRONMENT=flexible"),
    ],
)
def test_size_that_google_rejects_is_rejected_before_any_change(
    target: str, settings: dict, message: str, cloud: Cloud, checkout: Checkout
) -> None:
    checkout.settings(PUBLIC="true", **settings)
    outcome = checkout.run(f"deploy/{target}/deploy.sh")
    assert outcome.code == 1
    assert message in outcome.err
    assert cloud.changes() == []


def test_largest_memory_of_one_cpu_is_accepted(checkout: Checkout) -> None:
    checkout.settings(CPU=1, MEMORY="4Gi")
    script = "source deploy/common.sh; TARGET=cloudrun; read_settings deploy/staging.env"
    outcome = checkout.run("bash", "-euo", "pipefail", "-c", script)
    assert outcome.code == 0, outcome


@pytest.mark.parametrize("collection", ["versions", "templates"])
def test_old_releases_are_deleted(collection: str, deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    target = {"versions": "gae", "templates": "gce"}[collection]
    deployed(target, PUBLIC="true")
    for number in range(7):
        name, created = f"000000{number}-aaaaa", f"2026-11-0{number + 1}T12:00:00Z"
        if target == "gae":
            version = {"id": name, "name": f"apps/{PROJECT}/services/quintet/versions/{name}", "createTime": created}
            cloud.appengine.versions["quintet", name] = {**version, "env": "standard", "servingStatus": "SERVING"}
        else:
            key = f"global/instanceTemplates/quintet-gce-{name}"
            cloud.compute.things[key] = {"name": f"quintet-gce-{name}", "creationTimestamp": created}
    checkout.new_commit()
    outcome = checkout.run(f"deploy/{target}/deploy.sh")
    assert outcome.code == 0, outcome
    left = str([*cloud.appengine.versions, *cloud.compute.named("instanceTemplates")])
    assert [number for number in range(7) if f"000000{number}-aaaaa" in left] == {
        "gae": [3, 4, 5, 6],
        "gce": [4, 5, 6],
    }[target]


MACOS_TOOLS = [
    "awk", "basename", "bash", "cat", "chmod", "cp", "curl", "cut", "date", "dirname", "env", "expr", "git", "grep",
    "kill", "ls", "mkdir", "mktemp", "mv", "paste", "printf", "python3", "rm", "sed", "sh", "sleep", "sort", "tail",
    "tee", "touch", "tr", "uname", "wc", "xargs", "gcloud", "kubectl", "gke-gcloud-auth-plugin",
]  # fmt: skip


@pytest.mark.parametrize("target", ["cloudrun", "gce", "gke"])
def test_scripts_need_only_the_tools_of_macos(
    target: str, deployed: Deployments, checkout: Checkout, tmp_path: Path
) -> None:
    deployed(target, PUBLIC="false")
    for tool in MACOS_TOOLS:
        if found := sys.executable if tool == "python3" else shutil.which(tool):
            (tmp_path / tool).symlink_to(found)
    checkout.new_commit()
    outcome = checkout.run(f"deploy/{target}/deploy.sh", PATH=str(tmp_path))
    assert outcome.code == 0, outcome
    removed = checkout.run(f"deploy/{target}/teardown.sh", "--yes", PATH=str(tmp_path))
    assert removed.code == 0, removed
    assert "command not found" not in outcome.err + removed.err
