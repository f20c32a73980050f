"""Google's load balancers. A request to a reserved address, or to a domain that points to one, follows the forwarding
rules or the Gateway to the image that the instances or pods run.
"""

import http.client
import re

from .service import Answer, Call, Refusal, Service

DROPPED = {"proxy-connection", "connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"}


class Balancer(Service):
    host = r"203\.0\.113\.\d+|10\.8\.0\.\d+|.+\.example\.com"

    def __init__(self, cloud: "Cloud") -> None:
        super().__init__(cloud)
        self.domains: dict[str, str] = {}  # DNS: domain -> address

    def knows(self, call: Call) -> bool:
        return True

    def answer(self, call: Call) -> Answer:
        secure = not call.target.startswith("http://")  # https comes through CONNECT, with a path only
        address = self.domains.get(call.host, call.host)
        if address.startswith("10."):
            return Answer(b"that address is inside the network", 504)
        found = self.cloud.compute.backend(address, secure) or self.cloud.kubernetes.backend(address, secure)
        if found is None:
            return Answer(b"nothing listens there", 502)
        kind, thing = found
        if not kind:
            return Answer(b"", 301, {"Location": f"https://{call.host}{call.path}"})
        return self.forward(call, self.program(kind, thing))

    def program(self, kind: str, thing: dict) -> int | None:
        """The port of the program that instances (by their template) or pods (by theirs) run."""
        if kind == "instances":
            text = self.cloud.compute.user_data(thing)
            digest, env = re.search(r"@(sha256:[0-9a-f]{64})", text)[1], dict(re.findall(r"--env=(\w+)=(\S+)", text))
        else:
            container = thing["spec"]["containers"][0]
            digest, env = (
                container["image"].partition("@")[2],
                {item["name"]: item["value"] for item in container["env"]},
            )
        files, command, settings = self.cloud.cloudbuild.program(digest)
        return self.cloud.workloads.start(files, command, {**settings, **env})

    def forward(self, call: Call, port: int | None) -> Answer:
        if port is None:
            raise Refusal(503, "UNAVAILABLE", "no healthy upstream")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        kept = {name: value for name, value in call.headers.items() if name not in DROPPED}
        connection.request(call.method, call.path, call.content or None, kept)
        answer = connection.getresponse()
        body = self.cloud.frontend.tamper(call.path, answer.read())
        connection.close()
        self.cloud.frontend.requests.append(f"{call.host} {call.method} {call.path} {answer.status}")
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in DROPPED}
        return Answer(body, answer.status, headers)
