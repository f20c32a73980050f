"""The installed gcloud without the wait for its imports: half a second for each of a thousand commands.

`gcloud` itself starts whatever CLOUDSDK_PYTHON names. Here that is this file as a client: it hands its arguments, its
environment and its standard streams to a server, in which gcloud's modules are imported already; that forks, and the
child runs gcloud's own main(). A client that is killed takes its gcloud along.

    fast_gcloud.py .../lib/gcloud.py ARGUMENTS...     the client, at the socket FAST_GCLOUD
    fast_gcloud.py --serve SOCKET .../lib             the server, run by gcloud's Python
"""

import json
import os
import socket
import sys


def client() -> int:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.environ["FAST_GCLOUD"])
        start = next(i for i, word in enumerate(sys.argv) if word.endswith("/gcloud.py"))  # before it: Python's options
        request = json.dumps([sys.argv[start:], dict(os.environ), os.getcwd()]).encode()  # noqa: PTH109 - pathlib takes longer to import than all else here
        socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
        server.sendall(request)
        return int(server.recv(16) or b"1")


def serve(path: str, library: str) -> None:
    import signal

    sys.path.insert(0, library)
    import gcloud  # puts its own third-party folder on the path

    gcloud._import_gcloud_main()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    news_in, news_out = os.pipe()
    os.set_blocking(news_in, False)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            learn(news_in)
            if os.fork() == 0:
                listener.close()
                run(connection, news_out)
            connection.close()


def learn(news: int) -> None:
    """Import what earlier commands had to import: the next one finds it there."""
    import importlib

    try:
        names = os.read(news, 1 << 20).decode().split()
    except BlockingIOError:
        return
    for name in names:
        importlib.import_module(name)


def run(connection: socket.socket, news: int) -> None:
    """Become the gcloud that the client asked for."""
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
    named_configs.ActivePropertiesFile.Invalidate()  # it was read for the environment before
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    threading.Thread(target=lambda: connection.recv(1) or os._exit(143), daemon=True).start()  # the client has gone
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
    os.write(news, " ".join([*names, ""]).encode()[: os.fpathconf(news, "PC_PIPE_BUF")].rpartition(b" ")[0] + b" ")
    connection.sendall(str(code).encode())
    os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(*sys.argv[2:])
    else:
        sys.exit(client())
