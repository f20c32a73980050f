"""Runs the installed gcloud without the time that its imports take: half a second for each of about 1,000 commands.

`gcloud` runs in the Python interpreter that CLOUDSDK_PYTHON names. The fixture `fast_gcloud` in conftest.py names this
file as the interpreter: a client, which passes its arguments, environment and standard streams to a server. The server
has imported gcloud's modules. It forks for each command, and the child runs gcloud's own main(). If the client is
killed, the child exits.

Set FAST_GCLOUD=0 to run the tests with the plain gcloud, for example if a new version of gcloud breaks this file:

    FAST_GCLOUD=0 .venv-dev/bin/python -m pytest tests/deploy/test_cloudrun.py

    fast_gcloud.py .../lib/gcloud.py ARGUMENTS...     the client; the server listens on the socket FAST_GCLOUD_SOCKET
    fast_gcloud.py --serve SOCKET .../lib             the server, run by gcloud's own Python
"""

import json
import os
import socket
import sys


def client() -> int:
    """Run one command in the server; return its exit code."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.environ["FAST_GCLOUD_SOCKET"])
        start = next(i for i, word in enumerate(sys.argv) if word.endswith("/gcloud.py"))  # before it: Python's options
        request = json.dumps([sys.argv[start:], dict(os.environ), os.getcwd()]).encode()  # noqa: PTH109 - importing pathlib takes longer than the rest
        socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
        server.sendall(request)
        return int(server.recv(16) or b"1")


def serve(path: str, library: str) -> None:
    """Import gcloud, then fork a child for each connection to the socket `path`."""
    import signal

    sys.path.insert(0, library)
    import gcloud  # adds its own third-party folder to sys.path

    gcloud._import_gcloud_main()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
    imported_in, imported_out = os.pipe()
    os.set_blocking(imported_in, False)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            import_reported(imported_in)
            if os.fork() == 0:
                listener.close()
                run(connection, imported_out)
            connection.close()


def import_reported(pipe: int) -> None:
    """Import the modules that earlier children imported and reported, so that the next child has them."""
    import importlib

    try:
        names = os.read(pipe, 1 << 20).decode().split()
    except BlockingIOError:
        return
    for name in names:
        importlib.import_module(name)


def run(connection: socket.socket, pipe: int) -> None:
    """Take over the client's arguments, environment, folder and streams, and run gcloud's main(). Does not return."""
    import random
    import signal
    import threading

    import gcloud
    from googlecloudsdk.core.configurations import named_configs

    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    request = connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
    arguments, environment, folder = json.loads(request)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = arguments
    random.seed()
    named_configs.ActivePropertiesFile.Invalidate()  # it was read with the server's environment
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    threading.Thread(target=lambda: connection.recv(1) or os._exit(143), daemon=True).start()  # the client has exited
    before = set(sys.modules)
    code = 1
    try:
        gcloud.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    reusable = ("googlecloudsdk.generated_clients.", "googlecloudsdk.api_lib.", "googlecloudsdk.command_lib.")
    names = [name for name in set(sys.modules) - before if name.startswith(reusable)]
    os.write(pipe, " ".join([*names, ""]).encode()[: os.fpathconf(pipe, "PC_PIPE_BUF")].rpartition(b" ")[0] + b" ")
    connection.sendall(str(code).encode())
    os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(*sys.argv[2:])
    else:
        sys.exit(client())
