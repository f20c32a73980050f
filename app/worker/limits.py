"""Every limit of the server. docs/server.md explains them and gives the account of memory."""

KIB, MIB = 1024, 1024 * 1024

# Requests
HEAD_BYTES = 32 * KIB  # request line and fields
HEAD_FIELDS = 100
EMPTY_LINE_BYTES = 64  # CRLFs before a request line
TRAILER_BYTES = 8 * KIB  # all trailer fields of a chunked body
CHUNK_LINE_BYTES = 256  # a chunk's size and extensions

# Connections of one worker
CONNECTIONS = 1000
BUFFER_BYTES = 16 * MIB  # unparsed input and unsent output of all connections, beyond bodies
RECEIVE_BYTES = 64 * KIB  # read at once, outside of bodies
BODY_RECEIVE_BYTES = 256 * KIB  # read at once, into a body

# Times, in seconds
HEAD_SECONDS = 20  # from the first byte of a head to its last one
RESERVE_SECONDS = 60  # a body that waits for memory, unread; then 503
RATE_SECONDS = 10  # a body must bring RATE_BYTES in each such period; otherwise 408
RATE_BYTES = RATE_SECONDS * 16 * KIB
SEND_SECONDS = 60  # for the client to take its answer
DRAIN_SECONDS = 2  # for the client to close after the last answer
STOP_SECONDS = 0.5  # idle connections stay open this long after a stop: a request may be on its way
STOP_STALL_SECONDS = 3  # after a stop, an upload that brings nothing for this long is given up

# Overload
QUEUE_SECONDS = 5.0  # the longest time in the queue, if the estimate was wrong
QUICK_IN_ROW = 8  # requests without a body that are answered before the next upload
ADMIT_SECONDS = 1.8  # a request is refused at once if its estimated time in the queue is longer ...
ADMIT_ALWAYS = 4  # ... unless its client has fewer than this many requests in the server


def body_budget(max_body: int, memory: int | None, workers: int) -> int:
    """The bytes of bodies that one worker may hold: several of the largest, or one if the container is small.

    `memory`: the limit of the container in bytes, None if it has none. The processes share 100 MB; a worker takes
    40 MB of its own, and the largest image that is not decoded at reduced scale takes 140 MB while it is decoded.
    """
    wanted = 7 * max_body // 2  # three stalled uploads of the largest size, and photos beside them
    if memory is None:
        return wanted
    return max(max_body, min(wanted, (memory - 100 * MIB) // workers - 180 * MIB))
