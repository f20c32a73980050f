"""cloudbuild.yaml and deploy/build.yaml: gcloud accepts them, and the deploy step deploys the chosen target."""

import re

import yaml

from .conftest import PROJECT, ROOT, Deployments, Outcome, Workplace
from .simulator import Cloud

CONFIG = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text())
SETTINGS = "REGION=europe-west1 PUBLIC=true"


def run_deploy_step(workplace: Workplace, **given: str) -> Outcome:
    """Run the step's command here, with the substitutions that Cloud Build would make."""
    values = {"PROJECT_ID": PROJECT, "TAG_NAME": "", **CONFIG["substitutions"], **given}
    (step,) = (step for step in CONFIG["steps"] if step["id"] == "deploy")
    pattern = r"\$\$|\$\{?([A-Z_]+)\}?"
    args = [re.sub(pattern, lambda found: values[found[1]] if found[1] else "$", arg) for arg in step["args"]]
    return workplace.run(step["entrypoint"], *args)


def test_gcloud_accepts_every_field(cloud: Cloud, workplace: Workplace) -> None:
    cloud.serviceusage.enabled.add("cloudbuild.googleapis.com")
    outcome = workplace.run(
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
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    deployed("cloudrun", PUBLIC="true")
    (build,) = cloud.cloudbuild.builds.values()
    (step,) = build["steps"]
    args = [re.sub(r"\$\{(\w+)\}", lambda found: build["substitutions"][found[1]], arg) for arg in step["args"]]
    labels = dict(arg.removeprefix("--label=org.opencontainers.image.").split("=") for arg in args if "--label" in arg)
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    assert labels == {"revision": workplace.git("rev-parse", "HEAD"), "version": version}
    assert "--build-arg=MODEL=model/imagenet" in args
    arguments = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.M))
    assert {arg.split("=")[1] for arg in args if arg.startswith("--build-arg=")} <= arguments


def test_push_deploys_to_staging(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("cloudrun")
    outcome = run_deploy_step(
        workplace, _SETTINGS=f"REGION=europe-west1 MAX_INSTANCES=3 INVOKER=tester@{PROJECT}.iam.gserviceaccount.com"
    )
    assert outcome.code == 0, outcome
    assert "checks passed" in outcome.out
    revision = cloud.run.revisions[cloud.run.serving("quintet")]
    assert revision["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"] == "3"


def test_tag_deploys_the_chosen_target_to_production(cloud: Cloud, workplace: Workplace) -> None:
    outcome = run_deploy_step(workplace, TAG_NAME="v1.0.0", _TARGET="gce", _SETTINGS=f"{SETTINGS} MAX_INSTANCES=1")
    assert outcome.code == 1
    assert "expected at least 2 for production on gce" in outcome.err
    assert cloud.changes() == []
