"""The refusals of a new project, in the words that users of Google Cloud reported. Each names where it was read."""

from .service import Call, Refusal

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


def in_use(project: str, key: str, user: str) -> Refusal:
    """Compute Engine (hashicorp/terraform#14202, terraform-provider-google#5948)."""
    kind = key.split("/")[-2].removesuffix("s")
    message = f"The {kind} resource 'projects/{project}/{key}' is already being used by 'projects/{project}/{user}'"
    return Refusal(400, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", message)


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


def error_info(reason: str, **metadata: str) -> dict:
    info = {"reason": reason, "domain": "googleapis.com", "metadata": metadata}
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", **info}


def billing_not_enabled(apis: list[str]) -> Refusal:
    """Service Usage (quoted in many public repositories, with the reason UREQ_PROJECT_BILLING_NOT_FOUND)."""
    message = (
        f"Billing account for project '{NUMBER}' is not found. Billing must be enabled for activation of service(s) "
        f"'{','.join(apis)}' to proceed."
    )
    return Refusal(400, "FAILED_PRECONDITION", message, [error_info("UREQ_PROJECT_BILLING_NOT_FOUND")])


def quota_project_refused(project: str, api: str) -> Refusal:
    """Any API (quoted with the raw answer of the server in public issue notes)."""
    message = (
        f"Caller does not have required permission to use project {project}. Grant the caller the "
        "roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use permission, "
        f"by visiting https://console.developers.google.com/iam-admin/iam/project?project={project} and then retry. "
        "Propagation of the new permission may take a few minutes."
    )
    info = error_info("USER_PROJECT_DENIED", service=api, consumer=f"projects/{project}")
    return Refusal(403, "PERMISSION_DENIED", message, [info])


def concurrent_change() -> Refusal:
    """A policy that was changed since it was read (quoted in OpenShift's installer and in many others)."""
    message = (
        "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff. "
        "The request's ETag did not match the current policy's ETag."
    )
    return Refusal(409, "ABORTED", message)


def rate_limited(call: Call) -> Refusal:
    """The form of GoogleCloudPlatform/cloud-code-samples#95, as the newer APIs write it."""
    message = (
        "Quota exceeded for quota metric 'Write requests' and limit 'Write requests per minute' of service "
        f"'{call.host}' for consumer 'project_number:{NUMBER}'."
    )
    return Refusal(429, "RESOURCE_EXHAUSTED", message, [error_info("RATE_LIMIT_EXCEEDED", service=call.host)])


def unavailable() -> Refusal:
    """google.rpc.Code.UNAVAILABLE, as https://cloud.google.com/apis/design/errors describes it."""
    return Refusal(503, "UNAVAILABLE", "The service is currently unavailable.")


def not_a_permitted_customer() -> Refusal:
    """Any policy (cloud.google.com/knowledge/kb/organization-policy-violation-when-setting-iam-policy-000004666)."""
    message = (
        "One or more users named in the policy do not belong to a permitted customer, perhaps due to an organization"
    )
    violation = {
        "type": "constraints/iam.allowedPolicyMemberDomains",
        "description": "User is not in permitted organization.",
    }
    failure = {"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": [violation]}
    return Refusal(400, "FAILED_PRECONDITION", f"{message} policy.", [failure])


def location_forbidden(location: str) -> Refusal:
    """Cloud Storage (GoogleCloudPlatform/esp-v2#148)."""
    message = f"'{location.lower()}' violates constraint 'constraints/gcp.resourceLocations'"
    return Refusal(412, "FAILED_PRECONDITION", message)


def bucket_denied(bucket: str, email: str) -> str:
    """Why App Engine's build failed (android/privacy-sandbox-samples#44)."""
    return f"Access to bucket {bucket} denied. You must grant Storage Object Viewer permission to {email}."


def push_denied(project: str, email: str) -> str:
    """Why a build failed that may read the source and not write the image (the form is Artifact Registry's)."""
    return (
        f'denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource "projects/{project}" '
        f"(or it may not exist) for {email}"
    )


def external_address_forbidden(instance: str) -> str:
    """Why an instance was not created (in the tests of Kubernetes' cluster autoscaler, and in others)."""
    violated = f"Constraint constraints/compute.vmExternalIpAccess violated for project {NUMBER}."
    return f"Instance '{instance}' creation failed: {violated}"


def build_region_closed() -> Refusal:
    """Cloud Build (google-github-actions/deploy-cloudrun#480)."""
    message = "due to quota restrictions, cannot run builds in this region. Please contact support"
    return Refusal(400, "FAILED_PRECONDITION", f"failed precondition: {message}")


def cpu_quota_exceeded(limit: int) -> str:
    """Why an instance was not created (quoted in many public repositories; Google writes the two spaces)."""
    return f"Quota 'CPUS_ALL_REGIONS' exceeded.  Limit: {limit:.1f} globally."
