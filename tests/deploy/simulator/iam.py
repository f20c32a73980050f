"""IAM: service accounts, their policies, and tokens for them and for users."""

import base64
import json
import time
from urllib.parse import parse_qs

from .messages import account_not_found
from .service import Call, Service, route


def unsigned_token(**claims: object) -> str:
    """A JSON Web Token without a valid signature: gcloud and the simulated front end do not verify it."""
    parts = ({"alg": "none", "typ": "JWT"}, {"iat": int(time.time()), "exp": int(time.time()) + 3600, **claims})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".sig"


def claims_of(headers: dict[str, str]) -> dict:
    """The claims of the caller's token; empty if there is none."""
    parts = headers.get("authorization", "").removeprefix("Bearer ").split(".")
    return json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))) if len(parts) == 3 else {}


class Iam(Service):
    host = "iam.googleapis.com"
    api = "iam.googleapis.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.accounts: dict[str, dict] = {}
        self.policies: dict[str, dict] = {}  # who may act as an account

    @route("GET", "/v1/projects/{project}/serviceAccounts/{email}")
    def get(self, call: Call, project: str, email: str) -> dict:
        if email not in self.accounts or not self.is_effective(email):
            raise account_not_found(project, email)
        return self.accounts[email]

    @route("GET", "/v1/projects/{project}/serviceAccounts")
    def list_all(self, call: Call, project: str) -> dict:
        return {"accounts": list(self.accounts.values())}

    @route("POST", "/v1/projects/{project}/serviceAccounts")
    def create(self, call: Call, project: str) -> dict:
        email = f"{call.body['accountId']}@{project}.iam.gserviceaccount.com"
        self.accounts[email] = {
            "name": f"projects/{project}/serviceAccounts/{email}",
            "email": email,
            "displayName": call.body.get("serviceAccount", {}).get("displayName", ""),
        }
        self.cloud.propagation.start("account", [email], self.cloud.conditions.account_delay)
        return self.accounts[email]

    def is_effective(self, email: str) -> bool:
        """Whether other calls may name this account: false only for some time after it was created."""
        return not self.cloud.propagation.is_pending("account", email)

    @route("DELETE", "/v1/projects/{project}/serviceAccounts/{email}")
    def delete(self, call: Call, project: str, email: str) -> dict:
        self.get(call, project, email)
        del self.accounts[email]
        if self.cloud.conditions.deleted_members:
            self.mark_deleted(email)
        return {}

    def mark_deleted(self, email: str) -> None:
        """Policies keep an account that is gone, under a name that a new account of the same name does not have."""
        old, new = f"serviceAccount:{email}", f"deleted:serviceAccount:{email}?uid=100000000000000000001"
        policies = [self.cloud.resourcemanager.policy, *self.policies.values(), *self.cloud.run.policies.values()]
        for binding in [binding for policy in policies for binding in policy.get("bindings", [])]:
            binding["members"] = [new if member == old else member for member in binding["members"]]

    @route("POST", "/v1/projects/{project}/serviceAccounts/{email}:getIamPolicy")
    def get_policy(self, call: Call, project: str, email: str) -> dict:
        self.get(call, project, email)
        return self.policies.get(email, {"version": 1, "etag": "BwX="})

    @route("POST", "/v1/projects/{project}/serviceAccounts/{email}:setIamPolicy")
    def set_policy(self, call: Call, project: str, email: str) -> dict:
        self.get(call, project, email)
        self.policies[email] = call.body["policy"]
        return self.policies[email]


class Credentials(Service):
    """The Service Account Credentials API: tokens for a service account that the caller may impersonate."""

    host = "iamcredentials.googleapis.com"

    @route("POST", "/v1/projects/-/serviceAccounts/{email}:generateAccessToken")
    def access_token(self, call: Call, email: str) -> dict:
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        return {"accessToken": f"access-{email}", "expireTime": expires}

    @route("POST", "/v1/projects/-/serviceAccounts/{email}:generateIdToken")
    def id_token(self, call: Call, email: str) -> dict:
        return {"token": unsigned_token(aud=call.body["audience"], email=email)}

    @route("POST", "/v1/projects/-/serviceAccounts/{email}:signJwt")
    def sign(self, call: Call, email: str) -> dict:
        return {"keyId": "k", "signedJwt": unsigned_token(**json.loads(call.body["payload"]))}


class OAuth(Service):
    """The token endpoint, which gcloud uses if a user or a service account has logged in."""

    host = "oauth2.googleapis.com|www.googleapis.com|accounts.google.com"

    @route("POST", "/token")
    def token(self, call: Call) -> dict:
        form = parse_qs(call.content.decode())
        claims = {"email": "someone@example.com", "aud": "32555940559.apps.googleusercontent.com"}
        if "assertion" in form:  # a service account authenticates with a token that it signed
            signed = claims_of({"authorization": form["assertion"][0]})
            claims = {"email": signed["iss"], "aud": signed.get("target_audience", "")}
        return {
            "access_token": "access",
            "expires_in": 3600,
            "token_type": "Bearer",
            "id_token": unsigned_token(**claims),
        }
