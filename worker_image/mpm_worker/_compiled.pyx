# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled twin of the hot path: it does what its pure-Python twin does, only sooner.

Optional. Each piece serves the common case and leaves everything else to the pure twin that it was given
(`use_...`), so that a rule of HTTP or of PEP 3333 stands in one place. The same tests run over both.

Calls that cannot wait (recv, send with MSG_DONTWAIT) keep the interpreter's lock: giving it up and getting it
back costs as much as the call, and beside a thread that computes a wait of 5 ms each time.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE, _PyBytes_Resize
from cpython.dict cimport PyDict_Copy, PyDict_GetItem, PyDict_Update
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdio cimport snprintf
from libc.string cimport memchr, memcmp, memcpy, memset
from libc.time cimport time as seconds_now, time_t

cdef extern from "sys/socket.h" nogil:
    ssize_t recv(int descriptor, void *buffer, size_t size, int flags)
    ssize_t send(int descriptor, const void *buffer, size_t size, int flags)
    int MSG_DONTWAIT, MSG_NOSIGNAL

cdef extern from "sys/epoll.h" nogil:
    cdef union epoll_data:
        int fd
    cdef struct epoll_event:
        unsigned int events
        epoll_data data
    int epoll_wait(int epoll, epoll_event *events, int most, int milliseconds)

cdef extern from "poll.h" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    int wait_for "poll"(pollfd *descriptors, unsigned long count, int milliseconds)
    short POLLIN

cdef extern from "time.h" nogil:
    ctypedef int clockid_t
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(clockid_t clock, timespec *now)
    clockid_t CLOCK_MONOTONIC

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const char *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    object PyUnicode_DecodeLatin1(const char *text, Py_ssize_t size, const char *errors)


# -- sockets

cdef enum:
    SMALL = 16384
    EVENTS_MOST = 128


cpdef receive(int descriptor, Py_ssize_t most):
    """As os.read of a socket that does not block: BlockingIOError when nothing is there.

    Most of what comes is short, and a buffer of `most` bytes for it would be made and cut each time.
    """
    cdef char small[SMALL]
    cdef Py_ssize_t count = take(descriptor, small, min(most, <Py_ssize_t>SMALL))
    if count < SMALL or most <= SMALL:
        return PyBytes_FromStringAndSize(small, count)
    return receive_more(descriptor, small, most)


cdef receive_more(int descriptor, const char *first, Py_ssize_t most):
    cdef PyObject *data = <PyObject *>PyBytes_FromStringAndSizeRaw(NULL, most)
    if data is NULL:
        raise MemoryError
    cdef char *into = PyBytes_AS_STRING(<object>data)
    memcpy(into, first, SMALL)
    cdef ssize_t count = recv(descriptor, into + SMALL, most - SMALL, MSG_DONTWAIT)
    # Whatever it is that the second call met, the next one meets it again.
    if _PyBytes_Resize(&data, SMALL + (count if count > 0 else 0)) < 0:
        raise MemoryError
    result = <object>data
    Py_XDECREF(data)
    return result


cdef extern from "Python.h":
    PyObject *PyBytes_FromStringAndSizeRaw "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size)


cdef Py_ssize_t take(int descriptor, char *into, Py_ssize_t most) except -1:
    cdef ssize_t count
    while True:
        count = recv(descriptor, into, most, MSG_DONTWAIT)
        if count >= 0:
            return count
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)


cdef class Waiter:
    """`mpm_worker.compiled.PureWaiter`."""

    cdef pollfd watched

    def __init__(self, int descriptor):
        self.watched.fd, self.watched.events = descriptor, POLLIN

    cpdef bint wait(self, double seconds) except -1:
        cdef int left = <int>(seconds * 1000 + 1), count
        with nogil:
            count = wait_for(&self.watched, 1, left)
        if count < 0:
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            PyErr_CheckSignals()
        return count > 0

    def receive(self, double seconds, Py_ssize_t most):
        return receive(self.watched.fd, most) if self.wait(seconds) else None


def transmit(int descriptor, bytes data):
    """How many bytes of `data` the socket took now; 0 = it has no room."""
    return put(descriptor, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


def poll(int epoll, double seconds, int most):
    """As select.epoll.poll, but the interpreter is given up only when there is something to wait for.

    Who asks for it meanwhile has it after sys.getswitchinterval().
    """
    cdef epoll_event events[EVENTS_MOST]
    cdef int count = epoll_wait(epoll, events, min(most, <int>EVENTS_MOST), 0)
    cdef int left = -1 if seconds < 0 else <int>(seconds * 1000 + 0.999)
    if count == 0 and left != 0:
        with nogil:
            count = epoll_wait(epoll, events, EVENTS_MOST, left)
    if count < 0:
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()
        return []
    return [(events[at].data.fd, events[at].events) for at in range(count)]


cdef Py_ssize_t put(int descriptor, const char *data, Py_ssize_t size) except -1:
    cdef ssize_t count
    while True:
        count = send(descriptor, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if count >= 0:
            return count
        if errno == EAGAIN:
            return 0
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)


# -- the scoreboard

cdef double clock() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec * 1e-9


cdef enum:
    BUCKETS_MOST = 32


cdef class Slot:
    """`mpm_worker.scoreboard.Slot`, by pointers into the same memory."""

    cdef readonly double mark
    cdef readonly Py_ssize_t index
    cdef object board
    cdef long long *accesses_cell
    cdef long long *sent_cell
    cdef long long *durations
    cdef double *busy_cell
    cdef double *took_cell
    cdef double *since_cell
    cdef double *last_cell
    cdef unsigned char *letter_cell
    cdef unsigned char *text
    cdef unsigned char *client
    cdef Py_ssize_t width, client_width, slots
    cdef int buckets
    cdef double bounds[BUCKETS_MOST]
    cdef double asked
    cdef bint fresh

    def __init__(self, board, Py_ssize_t index, tuple bounds, Py_ssize_t width, Py_ssize_t client_width):
        cdef long long[:] accesses = board.accesses
        cdef long long[:] sent = board.sent
        cdef long long[:] durations = board.durations
        cdef double[:] busy = board.busy
        cdef double[:] took = board.took
        cdef double[:] since = board.since
        cdef double[:] last = board.last
        cdef unsigned char[:] letters = board.letters
        cdef unsigned char[:] requests = board.requests
        cdef unsigned char[:] clients
        self.board = board  # keeps the memory
        self.index = index
        self.accesses_cell, self.sent_cell = &accesses[index], &sent[index]
        self.durations, self.slots = &durations[index], board.slots
        self.busy_cell, self.took_cell = &busy[index], &took[index]
        self.since_cell, self.last_cell = &since[index], &last[index]
        self.letter_cell, self.text, self.width = &letters[index], &requests[index * width], width
        self.client_width = client_width
        if client_width:
            clients = board.clients
            self.client = &clients[index * client_width]
        self.buckets = len(bounds)
        for at in range(self.buckets):
            self.bounds[at] = bounds[at]
        self.mark = clock()
        self.fresh = True

    cpdef void state(self, int letter) except *:
        self.fresh = False
        self.letter_cell[0] = letter

    def begin(self, int letter, *, bint complete=False):
        self.mark = self.since_cell[0] = clock()
        self.asked = self.mark if complete else 0.0
        self.fresh = False
        self.letter_cell[0] = letter

    def request(self, bytes text, str client=""):
        fill(self.text, self.width, text)
        if self.client_width:
            fill(self.client, self.client_width, client.encode())
        if self.asked == 0.0:
            self.asked = self.since_cell[0] = clock()
        self.letter_cell[0] = b"W"

    def done(self, Py_ssize_t sent):
        cdef double now = clock()
        cdef double took = now - (self.asked if self.asked != 0.0 else self.mark)
        cdef int bucket = 0
        while bucket < self.buckets and self.bounds[bucket] < took:
            bucket += 1
        self.asked = 0.0
        self.durations[bucket * self.slots] += 1
        self.last_cell[0] = took
        self.took_cell[0] += took
        self.busy_cell[0] += now - self.mark
        self.accesses_cell[0] += 1
        self.sent_cell[0] += sent
        self.mark = now
        self.fresh = True

    def release(self, int letter=b"_"):
        cdef double now
        self.letter_cell[0] = letter
        if not self.fresh:
            now = clock()
            self.busy_cell[0] += now - self.mark
            self.mark = now
            self.fresh = True


cdef void fill(unsigned char *cell, Py_ssize_t width, bytes text) noexcept:
    cdef Py_ssize_t size = min(width, PyBytes_GET_SIZE(text))
    memcpy(cell, PyBytes_AS_STRING(text), size)
    memset(cell + size, 0, width - size)


# -- request heads

cdef enum:
    METHOD_MOST = 64
    HOST = 1
    CONNECTION = 4

cdef dict known_lines
cdef object read_line, request_type


def use_heads(dict known, read_unknown, request):
    """The pure twin's table of lines that were read before, what reads another one, and `Request`."""
    global known_lines, read_line, request_type
    known_lines, read_line, request_type = known, read_unknown, request


def read_head(bytes data, Py_ssize_t end, limits, dict own, tuple before):
    """The request of a common head, `data[:end]`, or None: then the long way reads it or says what is wrong.

    Common is: HTTP/1.1, a path without escapes, one Host, no body, no expectation, no field twice.

    :param before: the last head of the connection and its request, or None
    """
    cdef const char *text = PyBytes_AS_STRING(data)
    cdef const char *found = <const char *>memchr(text, 13, end)
    cdef Py_ssize_t eol = end if found is NULL else found - text
    if text[eol + 1] != 10 or eol > limits.request_line or end - eol - 2 > limits.header_bytes:
        return None
    request = read_request_line(text, eol)
    if request is None:
        return None
    if not (
        before is not None
        and before[1].lines is not None
        and len(before[1].lines) <= limits.header_count
        and read_alike(request, text, eol, end, own, before[0], before[1])
    ) and not read_fields(request, text, eol, end, limits.header_count, own):
        return None
    connection = (<dict>request.cgi).get("HTTP_CONNECTION")
    if connection is not None and connection != "keep-alive" and connection != "Keep-Alive":
        if connection != "close":
            return None
        request.keep_alive = False
    return request


cdef read_request_line(const char *text, Py_ssize_t eol):
    """A request that has what its line says, None = uncommon (`mpm_worker.http.target`)."""
    cdef Py_ssize_t space = 0, query, at
    while 65 <= text[space] <= 90:
        space += 1
    at = query = eol - 9
    if space == 0 or space > METHOD_MOST or space + 1 >= at or text[space] != 32 or text[space + 1] != 47:
        return None
    if memcmp(text + at, b" HTTP/1.1", 9) != 0 or (space == 7 and memcmp(text, b"CONNECT", 7) == 0):
        return None
    for at in range(space + 1, eol - 9):
        if text[at] == 63 and query == eol - 9:
            query = at
        elif not 33 <= text[at] <= 126 or text[at] == 35 or (text[at] == 37 and query == eol - 9):
            return None
    request = request_type.__new__(request_type)
    request.method = PyUnicode_DecodeLatin1(text, space, NULL)
    request.path = PyUnicode_DecodeLatin1(text + space + 1, query - space - 1, NULL)
    if query == eol - 9:
        request.target_text, request.query = request.path, ""
    else:
        request.target_text = PyUnicode_DecodeLatin1(text + space + 1, eol - 9 - space - 1, NULL)
        request.query = PyUnicode_DecodeLatin1(text + query + 1, eol - 9 - query - 1, NULL)
    request.brief = f"{request.method} {request.path}"
    request.version, request.keep_alive, request.expect_continue = VERSION, True, False
    request.again, request.memo = False, None
    return request


cdef tuple VERSION = (1, 1)


cdef bint read_alike(
    request, const char *text, Py_ssize_t at, Py_ssize_t end, dict own, bytes head, before
) except -1:
    """Whether the lines after `at` are those of `head`, that of the request `before`, but for values.

    If so `request` has its fields. Most clients send the same lines in the same order each time: to compare one
    with its predecessor is less work than to make a string of it and look that up.
    """
    cdef list lines = before.lines
    cdef dict cgi = None
    cdef const char *old = PyBytes_AS_STRING(head)
    cdef const char *found
    cdef tuple said, read
    cdef Py_ssize_t size, old_end = PyBytes_GET_SIZE(head) - 4
    cdef Py_ssize_t there = <const char *>memchr(old, 13, old_end + 1) - old
    for turn in range(len(lines)):
        at, there = at + 2, there + 2
        if at >= end or there >= old_end:
            return False
        found = <const char *>memchr(text + at, 13, end - at)
        size = (end if found is NULL else found - text) - at
        if there + size <= old_end and memcmp(text + at, old + there, size + 2) == 0:
            at, there = at + size, there + size
            continue
        if text[at + size + 1] != 10:
            return False
        said, read = lines[turn], look_up(PyUnicode_DecodeLatin1(text + at, size, NULL), own)
        if read is None or read[0] != said[0] or read[2] != said[2]:
            return False
        if cgi is None:
            cgi, lines = PyDict_Copy(before.cgi), list(lines)
        cgi[read[0]], lines[turn] = read[1], read
        found = <const char *>memchr(old + there, 13, old_end - there)
        at, there = at + size, old_end if found is NULL else found - old
    if at != end or there != old_end:
        return False
    request.cgi, request.lines = before.cgi if cgi is None else cgi, lines
    return True


cdef bint read_fields(
    request, const char *text, Py_ssize_t at, Py_ssize_t end, Py_ssize_t most, dict own
) except -1:
    """Whether the lines after `at` are common; then `request` has their fields (`mpm_worker.http.fields`)."""
    cdef dict cgi = {}
    cdef list lines = []
    cdef const char *found
    cdef Py_ssize_t eol
    cdef int mark, marks = 0
    cdef tuple read
    while at < end:
        at += 2
        found = <const char *>memchr(text + at, 13, end - at)
        eol = end if found is NULL else found - text
        if text[eol + 1] != 10 or most == 0:
            return False
        most -= 1
        read = look_up(PyUnicode_DecodeLatin1(text + at, eol - at, NULL), own)
        if read is None:
            return False
        name, mark = read[0], read[2]
        if mark & ~(HOST | CONNECTION) or PyDict_GetItem(cgi, name) is not NULL:
            return False
        cgi[name] = read[1]
        lines.append(read)
        marks |= mark
        at = eol
    request.cgi, request.lines = cgi, lines
    return marks & HOST != 0


cdef tuple look_up(line, dict own):
    """What a line says, None = it breaks the grammar."""
    cdef PyObject *known = PyDict_GetItem(known_lines, line)
    if known is NULL:
        known = PyDict_GetItem(own, line)
    if known is not NULL:
        return <tuple>known
    try:
        return read_line(line, own)
    except ValueError:
        return None


# -- the environ

def common_environ(dict template, dict cgi, request):
    """A new environ: the server's part, the fields, and what the request line says."""
    cdef dict environ = PyDict_Copy(template)
    PyDict_Update(environ, cgi)
    environ["REQUEST_METHOD"] = request.method
    environ["PATH_INFO"] = request.path
    environ["QUERY_STRING"] = request.query
    environ["REQUEST_URI"] = request.target_text
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if request.version[1] else "HTTP/1.0"
    return environ


# -- the response

cdef enum:
    HEAD_MOST = 2048  # a longer head takes the long way
    BODY_MOST = 65536
    PLAIN = 1
    LENGTH = 2

cdef dict codes, kinds
cdef object date_lines, plain_socket
cdef time_t date_second = -1
cdef bytes date_text = b""


def use_response(dict known_codes, dict known_kinds, date_and_server, socket_type):
    """The pure twin's tables of what it has learned of statuses and names, and its line of the date."""
    global codes, kinds, date_lines, plain_socket
    codes, kinds, date_lines, plain_socket = known_codes, known_kinds, date_and_server, socket_type


cdef bytes date_and_server_now():
    global date_second, date_text
    cdef time_t now = seconds_now(NULL)
    if now != date_second:
        date_text = date_lines(now).encode("latin-1")
        date_second = now
    return date_text


cdef Py_ssize_t append(char *head, Py_ssize_t at, text) noexcept:
    """Where the next byte goes; -1 = not plain: too long, not ASCII, or a control character in it."""
    if type(text) is not str or not PyUnicode_IS_COMPACT_ASCII(text):
        return -1
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(text)
    cdef const char *data = PyUnicode_DATA(text)
    cdef bint odd = False
    if at + size + 4 > HEAD_MOST:
        return -1
    for each in range(size):  # to its end, whatever it meets: so the C compiler makes a few wide steps of it
        odd |= (data[each] < 32) | (data[each] == 127)
    if odd:
        return -1
    memcpy(head + at, data, size)
    return at + size


cdef long long read_length(text) noexcept:
    """-1 = not for the short way."""
    if type(text) is not str or not PyUnicode_IS_COMPACT_ASCII(text):
        return -1
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(text)
    cdef const char *data = PyUnicode_DATA(text)
    cdef long long length = 0
    if not 0 < size < 16:
        return -1
    for at in range(size):
        if not 48 <= data[at] <= 57:
            return -1
        length = length * 10 + (data[at] - 48)
    return length


cdef object outcome_type


def use_outcome(outcome):
    """The named tuple that says what became of the connection."""
    global outcome_type
    outcome_type = outcome


cdef class ShortWay:
    """The common response: plain head, one block, a kept or closing connection that has room for all of it.

    `mpm_worker.wsgi.exchange.Exchange` is made upon it, and does what is not done here.
    """

    cdef public object _sock, _connection, _request, _errors, _must_close, _timeout
    cdef public bint _started, _head_sent, _keep, _has_body, _gone
    cdef public int _code
    cdef public object _length
    cdef public Py_ssize_t sent
    cdef readonly object outcome
    cdef object head

    def __init__(self, sock, connection, request, errors, timeout, must_close):
        self._sock, self._connection, self._request = sock, connection, request
        self._errors, self._timeout, self._must_close = errors, timeout, must_close

    @property
    def _text(self):
        return self.head.decode("latin-1") if type(self.head) is bytes else self.head

    @_text.setter
    def _text(self, text):
        self.head = text

    def start_response(self, status, headers, exc_info=None):
        if exc_info is None and not self._started and self.compose(status, headers):
            self._started = True
            return self.write
        return self._start(status, headers, exc_info)

    cdef bint compose(self, status, headers) except -1:
        """Status line and fields; false = the long way, which also says what is wrong."""
        cdef char head[HEAD_MOST]
        cdef PyObject *found
        cdef Py_ssize_t at
        cdef long long length = -1
        if type(status) is not str or type(headers) is not list:
            return False
        found = PyDict_GetItem(codes, status)
        if found is NULL:
            return False
        memcpy(head, b"HTTP/1.1 ", 9)
        at = append(head, 9, status)
        if at < 0:
            return False
        for pair in <list>headers:
            memcpy(head + at, b"\r\n", 2)
            if type(pair) is not tuple or len(<tuple>pair) != 2 or type((<tuple>pair)[0]) is not str:
                return False
            at = append_field(head, at + 2, (<tuple>pair)[0], (<tuple>pair)[1], &length)
            if at < 0:
                return False
        memcpy(head + at, b"\r\n", 2)
        at += 2
        lines = date_and_server_now()
        if at + PyBytes_GET_SIZE(lines) > HEAD_MOST:
            return False
        memcpy(head + at, PyBytes_AS_STRING(lines), PyBytes_GET_SIZE(lines))
        self.head = PyBytes_FromStringAndSize(head, at + PyBytes_GET_SIZE(lines))
        self._code, self._length = <object>found, None if length < 0 else length
        return True

    def respond_short(self, result):
        """Send all of a response that is a list of one block; false = nothing was done."""
        cdef char text[HEAD_MOST + 128]
        if type(result) is not list or len(<list>result) != 1 or not self._started or self._head_sent:
            return False
        block = (<list>result)[0]
        if type(block) is not bytes or type(self.head) is not bytes or type(self._sock) is not plain_socket:
            return False
        cdef Py_ssize_t size = PyBytes_GET_SIZE(block)
        cdef Py_ssize_t at = PyBytes_GET_SIZE(self.head)
        if self._has_body or size > BODY_MOST or not (self._length is None or self._length == size):
            return False
        if not self.is_common():
            return False
        keep = not self._must_close()
        memcpy(text, PyBytes_AS_STRING(self.head), at)
        at += snprintf(text + at, 128, b"Content-Length: %zd\r\n%s\r\n", size,
                       <const char *>b"" if keep else <const char *>b"Connection: close\r\n")
        self._head_sent, self._keep = True, keep
        self.send_all(text, at, block)
        self.sent += size
        self.outcome = tuple.__new__(outcome_type, (keep, self._code, self.sent, False))
        return True

    cdef bint is_common(self) except -1:
        """Whether the response has content, framed by its length, on a connection that would be kept."""
        request = self._request
        if not request.keep_alive or not request.version[1] or request.method == "HEAD":
            return False
        if self._code == 204 or self._code == 205 or self._code == 304:
            return False
        return self._code < 500 or self._connection.error is None

    cdef send_all(self, const char *head, Py_ssize_t size, bytes block):
        cdef bytes data = PyBytes_FromStringAndSize(NULL, size + PyBytes_GET_SIZE(block))
        cdef Py_ssize_t count = 0
        memcpy(PyBytes_AS_STRING(data), head, size)
        memcpy(PyBytes_AS_STRING(data) + size, PyBytes_AS_STRING(block), PyBytes_GET_SIZE(block))
        try:
            count = put(self._sock.fileno(), PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        except OSError as error:
            raise self._lost(error) from error
        if count < PyBytes_GET_SIZE(data):
            self._send_rest(data, count)


cdef Py_ssize_t append_field(char *head, Py_ssize_t at, name, value, long long *length) except -2:
    """As `append`; a Content-Length is taken out."""
    cdef PyObject *kind = PyDict_GetItem(kinds, name)
    if kind is NULL or at < 0:
        return -1
    if <object>kind == LENGTH:
        if length[0] >= 0:
            return -1
        length[0] = read_length(value)
        return at - 2 if length[0] >= 0 else -1
    if <object>kind != PLAIN:
        return -1
    at = append(head, at, name)
    if at < 0:
        return -1
    memcpy(head + at, b": ", 2)
    return append(head, at + 2, value)
