"""A DICOMweb client (PS3.18) that streams instances to disk, tries again when a failure may pass, and tells failures
in stable codes. QIDO-RS is dicomweb-client's; its `retrieve_instance` parses each object in memory, and what arrives is
to be kept as it came, so WADO-RS takes the same session and writes the bytes.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import requests
from dicomweb_client.web import DICOMwebClient
from requests.auth import HTTPBasicAuth
from requests.utils import get_environ_proxies

from osler.sources.login import Login
from osler.sources.multipart import IncompleteError, boundary_of, first_part
from osler.sources.spool import CHUNK
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError

# As stored, whatever the transfer syntax (PS3.18 8.7.3.5.2): a server that transcodes would change the bytes.
ACCEPT_AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
MOST_SAME = 10  # rows of a query for one instance, of which a sound server gives one
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_BROKEN = (
    IncompleteError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
_ANSWERED = frozenset({HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT})
_LOGIN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

# What they log quotes URLs, and a URL may hold a patient's number.
for _name in ("dicomweb_client.web", "retrying", "urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).disabled = True

Answer = TypeVar("Answer")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server.

    Attributes:
        tries: Attempts at one request.
        pause_s: Seconds before the second attempt; each further pause is twice as long.
        timeout_s: Seconds without a byte after which an attempt has failed.
    """

    tries: int = 4
    pause_s: float = 1.0
    timeout_s: float = 60.0


class WebClient(DICOMwebClient):
    """A client of one server.

    Args:
        address: URL of the DICOMweb root.
        login: User and password, or token; None for a server that asks for none.
        ca: Certificates to trust instead of the usual authorities; verification cannot be switched off.
        patience: Timeouts and attempts.
    """

    def __init__(self, address: str, login: Login | None, ca: Path | None, patience: Patience) -> None:
        session = requests.Session()
        # Else ~/.netrc would be shown to the server unasked, and REQUESTS_CA_BUNDLE would overrule `ca`.
        session.trust_env = False
        session.verify = str(ca) if ca else os.environ.get("REQUESTS_CA_BUNDLE") or True
        session.proxies.update(get_environ_proxies(address))
        if login is not None and login.token is not None:
            session.headers["Authorization"] = f"Bearer {login.token}"
        elif login is not None and login.user is not None:
            session.auth = HTTPBasicAuth(login.user.encode(), (login.password or "").encode())
        super().__init__(address, session=session, permissive_uid=True, timeout=patience.timeout_s)
        self.set_http_retry_params(retry=False)  # a transfer that breaks off midway must be tried again too
        self._patience = patience

    def studies(self, query: Mapping[str, str], limit: int, offset: int) -> list[Row]:
        """Return a page of studies by QIDO-RS, with the number of their instances where the server tells it.

        Raises:
            OslerError: as `_told`.
        """
        fields = ["NumberOfStudyRelatedInstances"]
        try:
            return self._rows(
                lambda: self.search_for_studies(limit=limit, offset=offset, fields=fields, search_filters=dict(query))
            )
        except OslerError as error:
            if error.code is Code.SOURCE_REFUSED and not self.is_dicomweb():
                raise _not_dicomweb() from None
            raise

    def instances(self, study: str, limit: int, offset: int) -> list[Row]:
        """Return a page of a study's instances by QIDO-RS.

        Raises:
            OslerError: as `_told`.
        """
        return self._rows(lambda: self.search_for_instances(study, limit=limit, offset=offset))

    def fetch(self, study: str, series: str, instance: str, write: Callable[[Iterator[bytes]], None]) -> None:
        """Hand the bytes of an instance, as stored, to `write`; it is called anew for each attempt.

        Raises:
            OslerError: as `_told`, and `transfer-failed` where the answer is cut off.
        """
        url = f"{self.base_url}/studies/{study}/series/{series}/instances/{instance}"

        def once() -> None:
            with self._http_get(url, headers={"Accept": ACCEPT_AS_STORED}, stream=True) as response:
                write(_content(response))

        self._tried(once)

    def has_instance(self, study: str, instance: str) -> bool:
        """Return whether the server lists an instance of a study, by QIDO-RS.

        Raises:
            OslerError: as `_told`.
        """
        wanted = {"SOPInstanceUID": instance}
        try:
            rows = self._rows(lambda: self.search_for_instances(study, limit=MOST_SAME, search_filters=wanted))
        except OslerError as error:
            if error.code is Code.NOT_DICOMWEB and self.is_dicomweb():
                return False  # some servers answer "not found" for a study that they do not have
            raise
        return any(instance in row.get("00080018", {}).get("Value", ()) for row in rows)

    def store(self, files: Sequence[bytes]) -> tuple[int, dict[str, Any]]:
        """Store files in one request by STOW-RS; return the HTTP status and the answer, empty where it is no JSON.

        A refusal of the server is an answer too: it says which were stored, and which were not (PS3.18 10.5.3).

        Raises:
            OslerError: as `_told`, for what is no answer of the service.
        """
        boundary = f"osler-{uuid.uuid4().hex}"
        part = f"\r\n--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join(part + file for file in files) + f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }

        def once() -> tuple[int, dict[str, Any]]:
            url = f"{self.base_url}/studies"
            # In one piece: servers have answered a chunked request with success and stored nothing of it.
            response = self._session.post(url, data=body, headers=headers, timeout=self._patience.timeout_s)
            if response.status_code not in _ANSWERED:
                response.raise_for_status()
            answer = response.json() if "json" in response.headers.get("Content-Type", "") else {}
            return response.status_code, answer if isinstance(answer, dict) else {}

        return self._tried(once)

    def close(self) -> None:
        """Hang up."""
        self._session.close()

    def is_dicomweb(self) -> bool:
        """Return whether the plainest of queries is understood; Orthanc's own interface refuses that one too."""
        try:
            self._rows(lambda: self.search_for_studies(limit=1))
        except OslerError:
            return False
        return True

    def _rows(self, search: Callable[[], Any]) -> list[Row]:
        rows = self._tried(search)
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            # Orthanc's own REST interface answers /studies with a list of names.
            raise _not_dicomweb()
        return rows

    def _tried(self, request: Callable[[], Answer]) -> Answer:
        for attempt in range(self._patience.tries):
            try:
                return request()
            except (requests.RequestException, IncompleteError) as error:
                if attempt + 1 == self._patience.tries or not _may_pass(error):
                    raise _told(error) from None
                time.sleep(self._patience.pause_s * 2**attempt)
            except (ValueError, TypeError, AttributeError):
                raise _not_dicomweb() from None
        raise AssertionError("at least one attempt is made")


def _content(response: requests.Response) -> Iterator[bytes]:
    chunks = response.iter_content(CHUNK)
    content_type = response.headers.get("Content-Type", "")
    if content_type.split(";")[0].strip().lower() == "application/dicom":
        return chunks  # some servers send the part without its envelope
    boundary = boundary_of(content_type)
    if boundary is None:
        raise IncompleteError
    return first_part(chunks, boundary)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, requests.HTTPError):
        return _status(error) in _PASSING
    return isinstance(error, _BROKEN) and not isinstance(error, requests.exceptions.SSLError)


def _status(error: requests.HTTPError) -> int:
    return HTTPStatus.INTERNAL_SERVER_ERROR if error.response is None else error.response.status_code


def _told(error: Exception) -> OslerError:
    """Return what to tell; neither a URL nor a server's text is quoted, since both may name patients.

    Codes: `source-untrusted`, `source-unreachable`, `source-refused-login`, `not-dicomweb`, `source-refused`,
    `source-failed`, `transfer-failed`.
    """
    if isinstance(error, requests.exceptions.SSLError):
        return OslerError(
            Code.SOURCE_UNTRUSTED,
            "The server's certificate is not trusted.",
            "Give the hospital's own certificate authority with --ca; verification cannot be switched off.",
        )
    if isinstance(error, requests.HTTPError):
        return _told_status(_status(error))
    if isinstance(error, requests.JSONDecodeError):
        return _not_dicomweb()
    if isinstance(error, (IncompleteError, requests.exceptions.ChunkedEncodingError)):
        return OslerError(
            Code.TRANSFER_FAILED, "The server broke off in the middle of an answer.", "Run the same command again."
        )
    return OslerError(
        Code.SOURCE_UNREACHABLE,
        f"The server cannot be reached, or does not answer in time ({type(error).__name__}).",
        "Check host, port and network, and run the same command again: what was finished is kept.",
    )


def _told_status(status: int) -> OslerError:
    if status in _LOGIN:
        return OslerError(
            Code.SOURCE_REFUSED_LOGIN,
            f"The server refuses the login (HTTP {status}).",
            "Set OSLER_DICOMWEB_USER and OSLER_DICOMWEB_PASSWORD, OSLER_DICOMWEB_TOKEN, or give --login-file.",
        )
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_ACCEPTABLE):
        return _not_dicomweb()
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return OslerError(
            Code.SOURCE_REFUSED, f"The server refuses the request (HTTP {status}).", "Check the filters of --query."
        )
    return OslerError(
        Code.SOURCE_FAILED,
        f"The server failed (HTTP {status}).",
        "Look into its log, and run the same command again: what was finished is kept.",
    )


def _not_dicomweb() -> OslerError:
    return OslerError(
        Code.NOT_DICOMWEB,
        "The server answers at this address, but not as DICOMweb does.",
        "Give the DICOMweb root, not the server's own: Orthanc's ends in /dicom-web.",
    )
