"""The refusals of a new project, in the words that users of Google Cloud reported. Each names where it was read."""

from .service import Refusal

NUMBER = "123456789012"  # the project's


def unknown_account(email: str) -> Refusal:
    """A policy that names a service account nobody knows yet (kubeflow/kubeflow#3832)."""
    return Refusal(400, "INVALID_ARGUMENT", f"Service account {email} does not exist.")


def account_not_found(project: str, email: str) -> Refusal:
    """IAM's own answer about a service account that it does not know."""
    return Refusal(404, "NOT_FOUND", f"Service account projects/{project}/serviceAccounts/{email} does not exist.")


def may_not_act_as(email: str) -> Refusal:
    """Cloud Run (google/keyword_factory#22)."""
    message = f"Permission 'iam.serviceaccounts.actAs' denied on service account {email} (or it may not exist)."
    return Refusal(403, "PERMISSION_DENIED", message)


def build_may_not_act_as(project: str, email: str) -> Refusal:
    """Cloud Build (quoted in many public repositories)."""
    message = f"caller does not have permission to act as service account projects/{project}/serviceAccounts/{email}"
    return Refusal(403, "PERMISSION_DENIED", message)


def app_may_not_act_as(email: str) -> Refusal:
    """App Engine (google-github-actions/setup-gcloud#191)."""
    return Refusal(403, "PERMISSION_DENIED", f"You do not have permission to act as '{email}'")


def no_access_to_account(email: str) -> Refusal:
    """Compute Engine and GKE (quoted in many public repositories)."""
    message = (
        f"The user does not have access to service account '{email}'. User: 'someone@example.com'. Ask a project owner "
        "to grant you the iam.serviceAccountUser role on the service account"
    )
    return Refusal(400, "SERVICE_ACCOUNT_ACCESS_DENIED", message)


def source_unreadable(email: str) -> Refusal:
    """Cloud Build, in the minutes after the build account got its role (README of a public project, word for word)."""
    message = (
        f"could not resolve source: googleapi: Error 403: {email} does not have storage.objects.get access to the "
        "Google Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist)., "
        "forbidden"
    )
    return Refusal(400, "INVALID_ARGUMENT", message)


def image_unreadable(revision: str, image: str) -> str:
    """Why a Cloud Run revision failed (cloud.google.com/run/docs/troubleshooting; the form is that of gcpdiag)."""
    return (
        f"Revision '{revision}' is not ready and cannot serve traffic. Google Cloud Run Service Agent "
        f"service-{NUMBER}@serverless-robot-prod.iam.gserviceaccount.com must have permission to read the image, "
        f"{image}. Ensure that the provided container image URL is correct and that the above account has permission "
        "to access the image. If you just enabled the Cloud Run API, the permissions might take a few minutes to "
        "propagate."
    )


def agent_unknown() -> Refusal:
    """App Engine (hashicorp/terraform-provider-google#8333)."""
    agent = f"service-{NUMBER}@gcp-gae-service.iam.gserviceaccount.com"
    cause = "Could be GAIA propagation delay or request from deleted apps."
    return Refusal(404, "NOT_FOUND", f"Unable to retrieve P4SA: [{agent}] from GAIA. {cause}")
