"""What is sent arrives whole and in order, however little the socket takes at once."""

from app.worker.outbox import Outbox


class NarrowSocket:
    """Takes at most three bytes at once, and nothing at every other call."""

    def __init__(self):
        self.taken, self._is_full = b"", False

    def send(self, data):
        self._is_full = not self._is_full
        if not self._is_full:
            raise BlockingIOError
        self.taken += bytes(data[:3])
        return min(3, len(data))


def test_everything_is_sent_once_and_in_order():
    sock = NarrowSocket()
    outbox = Outbox(sock)
    outbox.append(b"first answer, ")
    outbox.append(b"second answer")
    left = [len(outbox)]
    for _ in range(left[0]):
        if outbox.send():
            break
        left.append(len(outbox))
    assert sock.taken == b"first answer, second answer"
    assert len(outbox) == 0
    assert left == sorted(left, reverse=True)
    assert left[0] == len(sock.taken)
