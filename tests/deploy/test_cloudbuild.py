"""cloudbuild.yaml and deploy/build.yaml: gcloud accepts them, and the deploy step deploys the chosen target."""

import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from .conftest import INVOKER, PROJECT, ROOT, Checkout, Deployments, Outcome
from .simulator import Cloud

CONFIG = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
SETTINGS = "REGION=europe-west1 PUBLIC=true"


# The tools of an image, besides those of every Debian image: https://cloud.google.com/sdk/docs/downloads-docker
TOOLS = {
    "python:3.13-slim": ["python3", "pip"],
    "gcr.io/google.com/cloudsdktool/google-cloud-cli:stable": ["gcloud"],
    "gcr.io/google.com/cloudsdktool/google-cloud-cli:latest": [
        "gcloud", "kubectl", "gke-gcloud-auth-plugin", "git", "python3", "curl", "make",
    ],
}  # fmt: skip
NOT_IN_DEBIAN = {
    "git",
    "make",
    "curl",
    "python3",
    "python",
    "pip",
    "gcloud",
    "kubectl",
    "gke-gcloud-auth-plugin",
    "docker",
}


def path_of_image(name: str, folder: Path) -> str:
    """A PATH with the tools of an image, and an apt-get that installs more of them."""
    for place in ("/bin", "/usr/bin"):
        for tool in Path(place).iterdir():
            if tool.name not in NOT_IN_DEBIAN and not (folder / tool.name).is_symlink():
                (folder / tool.name).symlink_to(tool)
    for tool in TOOLS[name]:
        (folder / tool).symlink_to(sys.executable if tool == "python3" else shutil.which(tool))
    (folder / "apt-get").unlink(missing_ok=True)
    (folder / "apt-get").write_text(
        "#!/bin/sh\n[ $1 = install ] || exit 0\nfor tool; do\n"
        f"  found=$(PATH=/usr/bin:/bin command -v $tool) && ln -sf $found {folder}/$tool\ndone\nexit 0\n"
    )
    (folder / "apt-get").chmod(0o755)
    return str(folder)


def run_step(checkout: Checkout, name: str, given: dict[str, str], **environment: str) -> Outcome:
    """Run the step's command here, with the substitutions that Cloud Build would make."""
    values = {"PROJECT_ID": PROJECT, "TAG_NAME": "", **CONFIG["substitutions"], **given}
    (step,) = (step for step in CONFIG["steps"] if step["id"] == name)
    pattern = r"\$\$|\$\{?([A-Z_]+)\}?"
    args = [re.sub(pattern, lambda found: values[found[1]] if found[1] else "$", arg) for arg in step["args"]]
    return checkout.run(step["entrypoint"], *args, **environment)


def run_deploy_step(checkout: Checkout, **given: str) -> Outcome:
    return run_step(checkout, "deploy", given)


def test_gcloud_accepts_every_field(cloud: Cloud, checkout: Checkout) -> None:
    cloud.serviceusage.enabled.add("cloudbuild.googleapis.com")
    outcome = checkout.run(
        "gcloud", "builds", "submit", "--no-source", "--config=cloudbuild.yaml", f"--project={PROJECT}",
        "--substitutions=_TARGET=gke,TAG_NAME=v1.0.0", "--suppress-logs", "--region=europe-west1",
    )  # fmt: skip
    assert outcome.code == 0, outcome
    (call,) = cloud.sent("POST cloudbuild.googleapis.com/.*/builds$")
    assert [step["id"] for step in call.body["steps"]] == ["test", "deploy"]
    assert call.body["substitutions"]["_TARGET"] == "gke"
    used = set(re.findall(r"(?<!\$)\$\{?(_[A-Z]+)", (ROOT / "cloudbuild.yaml").read_text()))
    assert used == set(CONFIG["substitutions"])


def test_labels_of_the_image_contain_the_commit_and_the_version(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("cloudrun", PUBLIC="true")
    (build,) = [build for build in cloud.cloudbuild.builds.values() if build["results"]["images"]]
    (step,) = build["steps"]
    args = [re.sub(r"\$\{(\w+)\}", lambda found: build["substitutions"][found[1]], arg) for arg in step["args"]]
    labels = dict(arg.removeprefix("--label=org.opencontainers.image.").split("=") for arg in args if "--label" in arg)
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    assert labels == {"revision": checkout.git("rev-parse", "HEAD"), "version": version}
    assert "--build-arg=MODEL=model/imagenet" in args
    arguments = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.M))
    assert {arg.split("=")[1] for arg in args if arg.startswith("--build-arg=")} <= arguments


def test_revision_of_a_tagged_commit_is_its_hash(checkout: Checkout) -> None:
    checkout.git("tag", "--annotate", "--message=Release", "v1.0.0")
    try:
        outcome = checkout.run("bash", "-euc", "source deploy/lib/image.sh; image_labels")
    finally:
        checkout.git("tag", "--delete", "v1.0.0")
    assert outcome.out.strip().endswith(f",_REVISION={checkout.git('rev-parse', 'HEAD')}"), outcome


@pytest.mark.parametrize("name", ["cloudbuild.yaml", "deploy/build.yaml", "deploy/probe.yaml"])
def test_build_with_an_account_of_its_own_logs_only_to_cloud_logging(name: str) -> None:
    """Cloud Build rejects such a build if it has neither this option nor a bucket for its logs."""
    assert yaml.safe_load((ROOT / name).read_text())["options"]["logging"] == "CLOUD_LOGGING_ONLY"


def test_continuous_deployment_may_take_as_long_as_its_steps() -> None:
    limits = (ROOT / "deploy/lib/propagation.sh").read_text()
    seconds = [int(re.search(rf"{name}_LIMIT:=(\d+)", limits)[1]) for name in ("PROPAGATION", "ROLLOUT", "BALANCER")]
    image = yaml.safe_load((ROOT / "deploy/build.yaml").read_text())["timeout"]
    assert int(image[:-1]) >= 600
    assert int(CONFIG["timeout"][:-1]) >= sum(seconds) + int(image[:-1])


def test_push_deploys_to_staging(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("cloudrun")
    outcome = run_deploy_step(
        checkout, _SETTINGS=f"REGION=europe-west1 MAX_INSTANCES=3 INVOKER=tester@{PROJECT}.iam.gserviceaccount.com"
    )
    assert outcome.code == 0, outcome
    assert "checks passed" in outcome.out
    revision = cloud.run.revisions[cloud.run.serving("quintet")]
    assert revision["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"] == "3"


def test_tag_deploys_the_chosen_target_to_production(cloud: Cloud, checkout: Checkout) -> None:
    outcome = run_deploy_step(checkout, TAG_NAME="v1.0.0", _TARGET="gce", _SETTINGS=f"{SETTINGS} MAX_INSTANCES=1")
    assert outcome.code == 1
    assert "expected at least 2 for production on gce" in outcome.err
    assert cloud.changes() == []


def test_test_step_has_the_tools_that_make_test_needs(checkout: Checkout, tmp_path: Path) -> None:
    (step,) = (step for step in CONFIG["steps"] if step["id"] == "test")
    path = path_of_image(step["name"], tmp_path)
    (checkout.folder / "Makefile").write_text("test:\n\tcommand -v git && command -v curl && command -v bash\n")
    outcome = run_step(checkout, "test", {}, PATH=path)
    assert outcome.code == 0, outcome


@pytest.mark.parametrize("target", ["cloudrun", "gke"])
def test_deploy_step_needs_only_the_tools_of_its_image(
    target: str, deployed: Deployments, checkout: Checkout, tmp_path: Path
) -> None:
    deployed(target, PUBLIC="true")
    (step,) = (step for step in CONFIG["steps"] if step["id"] == "deploy")
    path = path_of_image(step["name"], tmp_path)
    outcome = run_step(checkout, "deploy", {"_TARGET": target, "_SETTINGS": SETTINGS}, PATH=path)
    assert outcome.code == 0, outcome


def test_deploy_step_in_the_image_without_components_names_the_missing_tool(checkout: Checkout, tmp_path: Path) -> None:
    path = path_of_image("gcr.io/google.com/cloudsdktool/google-cloud-cli:stable", tmp_path)
    outcome = run_step(checkout, "deploy", {}, PATH=path)
    assert outcome.code == 1
    assert "git is not on PATH" in outcome.err


@pytest.mark.parametrize(("environment", "event"), [("staging", {"branch": "^main$"}), ("production", {"tag": "^v"})])
def test_setup_creates_the_account_its_roles_and_the_trigger(
    environment: str, event: dict, cloud: Cloud, checkout: Checkout
) -> None:
    cloud.conditions.disabled_apis = ["cloudresourcemanager.googleapis.com"]
    checkout.git("config", "remote.origin.url", "https://github.com/someone/quintet.git")
    checkout.settings(environment, MAX_INSTANCES=3)
    outcome = checkout.run("deploy/ci/setup.sh", "functions", "--env", environment, "--yes")
    assert outcome.code == 0, outcome
    email = f"quintet-deploy@{PROJECT}.iam.gserviceaccount.com"
    assert {
        "roles/run.admin",
        "roles/logging.logWriter",
        "roles/iam.serviceAccountUser",
    } <= cloud.resourcemanager.roles(email)
    trigger = cloud.cloudbuild.triggers[f"quintet-{environment}"]
    assert trigger["github"] == {"owner": "someone", "name": "quintet", "push": event}
    assert trigger["serviceAccount"].endswith(email)
    assert trigger["substitutions"]["_TARGET"] == "functions"
    assert set(trigger["substitutions"]["_SETTINGS"].split()) == {
        "REGION=europe-west1",
        "MAX_INSTANCES=3",
        f"INVOKER={INVOKER}",
    }
    cloud.forget()
    assert checkout.run("deploy/ci/setup.sh", "functions", "--env", environment, "--yes").code == 0
    assert cloud.changes() == []


def test_readme_lists_the_roles_of_setup() -> None:
    script = (ROOT / "deploy/ci/setup.sh").read_text().partition("roles_of() {")[2].partition("}")[0]
    roles = {word for line in re.findall(r"echo ([a-zA-Z. ]+)", script) for word in line.split()}
    page = (ROOT / "deploy/README.md").read_text()
    assert len(roles) > 12
    section = page.partition("## Roles of the caller")[2].partition("\n## ")[0]
    assert roles == set(re.findall(r"`roles/([a-zA-Z.]+)`", section))
