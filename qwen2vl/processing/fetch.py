"""Downloads from allowed hosts: the only module of processing that opens network connections.

Each address is resolved once and used as it is, every host on the way must be allowed, the size of the body is limited, and
one deadline covers everything. Proxies of the environment are not used: they would connect to another address.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urljoin, urlsplit

from qwen2vl.common.errors import MediaError

DEADLINE_S = 30.0
MAX_REDIRECTS = 3

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Status codes whose Location is the address to ask instead."""


class Redirect(str):
    """Location that a response names, absolute or relative to its own."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A parsed URL; its text is not used again."""

    secure: bool
    host: str
    port: int
    path: str
    """Path with the query, quoted."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Host, port and path of an http(s) URL. Raises MediaError when it is malformed or contains a user name."""
        try:
            parts = urlsplit(url)
            port = parts.port
            host = (parts.hostname or "").rstrip(".").encode("idna").decode("ascii").lower()
        except ValueError as error:  # bad port, bad brackets, a name that idna rejects
            raise MediaError("the URL is malformed: it must look like https://host/path") from error
        if not host or parts.username is not None:
            raise MediaError("the URL is malformed or contains a user name: it must look like https://host/path")
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = "?" + quote(parts.query, safe="/?%:@!$&'()*+,;=~-._") if parts.query else ""
        secure = parts.scheme.lower() == "https"
        return cls(secure=secure, host=host, port=port or (443 if secure else 80), path=path + query)

    @property
    def url(self) -> str:
        """The URL that was parsed, without its fragment."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}{self.path}"

    @property
    def is_address(self) -> bool:
        """The host is an IP address, not a name."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def check_allowed(self, allowed_hosts: Sequence[str], came_from: str = "") -> None:
        """Raise MediaError when the host is not allowed. came_from: host that redirected to it."""
        names = {name.lower().rstrip(".") for name in allowed_hosts}
        if self.host not in names and f"{self.host}:{self.port}" not in names:
            what = f"{came_from} redirects to {self.host}, which" if came_from else self.host
            raise MediaError(
                f"{what} is not an allowed host: allow it with --allow-host {self.host} (allowed_hosts in Python) "
                "or download the file and give its path"
            )

    def connect(self, deadline_s: float) -> http.client.HTTPConnection:
        """A connection to the first address of the host, before the TLS handshake.

        A host that is allowed by name must have public addresses only, otherwise its owner could point it into our network.
        A host that is allowed by its address, or "localhost", may be private.
        """
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        if not self.is_address and self.host != "localhost":
            for address in addresses:
                if not ipaddress.ip_address(address.partition("%")[0]).is_global:
                    raise MediaError(
                        f"{self.host} has the address {address}, which is not public: allow that address instead of the name"
                    )
        plain = socket.create_connection((addresses[0], self.port), timeout=deadline_s)
        connection: http.client.HTTPConnection
        if self.secure:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(self.host, self.port, context=context)
            connection.sock = context.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
        else:
            connection = http.client.HTTPConnection(self.host, self.port)
            connection.sock = plain
        return connection

    def download(self, connection: http.client.HTTPConnection, max_bytes: int) -> "bytes | Redirect":
        """Body of the response, or where it redirects to. Raises MediaError for another status and for large bodies."""
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.do_handshake()
        connection.request("GET", self.path, headers={"Accept-Encoding": "identity", "User-Agent": "qwen2vl"})
        response = connection.getresponse()
        location = response.getheader("Location")
        if response.status in REDIRECTS and location:
            return Redirect(location)
        if response.status != http.client.OK:
            raise MediaError(f"{self.host} answered with status {response.status} instead of 200: check the address")
        announced = response.length
        body = response.read(max_bytes + 1) if (announced or 0) <= max_bytes else b""
        if len(body) > max_bytes or (announced or 0) > max_bytes:
            raise MediaError(
                f"the file on {self.host} is over the ceiling of {max_bytes} bytes: "
                "raise it with --max-download-bytes (max_download_bytes in Python) or download the file and give its path"
            )
        if announced is not None and len(body) < announced:
            raise http.client.IncompleteRead(body, announced - len(body))
        return body


def fetch(
    url: str,
    *,
    allowed_hosts: Sequence[str],
    max_bytes: int,
    deadline_s: float = DEADLINE_S,
    max_redirects: int = MAX_REDIRECTS,
) -> bytes:
    """Body of an http(s) URL on one of `allowed_hosts` ("host" or "host:port").

    Raises MediaError when a host on the way is not allowed or not public, the body has over `max_bytes`, the status is
    not 200, there are over `max_redirects` redirects, or all of it takes over `deadline_s` seconds.
    """
    ends = time.monotonic() + deadline_s
    first = came_from = ""
    for _ in range(max_redirects + 1):
        target = Target.parse(url)
        first = first or target.host
        target.check_allowed(allowed_hosts, came_from)
        found = fetch_once(target, max_bytes, max(0.001, ends - time.monotonic()), deadline_s)
        if not isinstance(found, Redirect):
            return found
        url, came_from = urljoin(target.url, found), target.host
        if not url.lower().startswith(("http://", "https://")):
            raise MediaError(f"{target.host} redirects to another scheme than http and https: check the address")
    rule = f"over {max_redirects} times" if max_redirects else "to another address, which is not followed here"
    raise MediaError(f"{first} redirects {rule}: download the file and give its path")


def fetch_once(target: Target, max_bytes: int, left_s: float, deadline_s: float) -> bytes | Redirect:
    """Body of one response, or where it redirects to, within `left_s` of the `deadline_s` of all. Raises MediaError."""
    expired = threading.Event()
    try:
        with contextlib.closing(target.connect(left_s)) as connection:
            timer = threading.Timer(left_s, cut, (connection.sock, expired))
            timer.start()
            try:
                return target.download(connection, max_bytes)
            finally:
                timer.cancel()
    except (OSError, http.client.HTTPException) as error:
        if expired.is_set() or isinstance(error, TimeoutError):
            raise MediaError(
                f"{target.host} took over {deadline_s:g} seconds: download the file and give its path"
            ) from error
        raise MediaError(
            f"{target.host} could not be reached or closed the connection early: check the address, "
            "or download the file and give its path"
        ) from error


def cut(sock: socket.socket, expired: threading.Event) -> None:
    """End a transfer from the thread of the timer: waiting reads then return at once."""
    expired.set()
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not SSLSocket's own, which is not safe from another thread
