"""Checks that several targets share."""

import json

from .conftest import Checkout, Outcome
from .simulator import Cloud

DOMAIN = "quintet.example.com"


def check_printed_curl(checkout: Checkout, deployed: Outcome) -> None:
    """The last line that a deployment prints is a curl command that classifies an image."""
    answer = checkout.run("bash", "-c", deployed.out.strip().splitlines()[-1])
    assert json.loads(answer.out)["predictions"][0]["label"], answer


def check_https_once_certificate_is_active(cloud: Cloud, checkout: Checkout, deploy: str) -> Outcome:
    """Once DOMAIN resolves and its certificate is active, a deployment tests HTTPS, and HTTP redirects to it."""
    (address,) = {resource["address"] for resource in cloud.compute.named("addresses").values()}
    cloud.compute.issue_certificates()
    cloud.balancer.domains[DOMAIN] = address
    outcome = checkout.run(deploy)
    assert outcome.code == 0, outcome
    assert f"{DOMAIN} POST /predict 200" in cloud.frontend.requests
    answer = checkout.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", f"http://{DOMAIN}/")
    assert answer.out == f"301 https://{DOMAIN}/"
    return outcome


def check_dry_run_output_deploys(cloud: Cloud, checkout: Checkout, deploy: str) -> None:
    """A dry run changes nothing, and its output is a script that deploys."""
    printed = checkout.run(deploy, "--dry-run")
    assert printed.code == 0, printed
    assert cloud.changes() == []
    pasted = checkout.run("bash", "-euo", "pipefail", "-c", printed.out)
    assert pasted.code == 0, pasted
    assert "checks passed" in pasted.out
