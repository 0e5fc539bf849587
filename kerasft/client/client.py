"""`Client.predict` is `Predictor.predict` for a served model."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.pool import ThreadPool
from typing import Any, TypeVar

import numpy as np

from kerasft.client.address import Address, parse_address
from kerasft.client.credentials import Tls, check_headers, without_secrets
from kerasft.client.failures import CallError, RequestTooLargeError, Why, user_error
from kerasft.client.retries import call_again
from kerasft.client.signature import TextSignature, read_column, read_signature
from kerasft.errors import UserError
from kerasft.export.layout import BATCH_SIZES, input_names
from kerasft.serving.examples import Texts
from kerasft.serving.windows import TextError, TextModel, num_bytes

# In the server's refusals of a version label, and of more texts than it batches.
_UNKNOWN_LABEL = "servable version label"
_TOO_MANY_TEXTS = re.compile(r"maximum (input )?batch size")
_LOADING = ("START", "LOADING")
_LOADED = "AVAILABLE"

Answer = TypeVar("Answer")


class Client(TextModel):
    """Predicts with a model that TensorFlow Serving serves, over REST or gRPC.

    The model's metadata is read first: it must have the text signature of a kerasft export. Texts
    are sorted by length within windows and sent in batches, a few at a time; predictions keep the
    order of the texts, and equal those of `kerasft.load` for the same model. A call that fails for
    a temporary reason (no connection, a busy server, a model that is being loaded) is retried; one
    that is too large for the server is sent in halves. REST does not import TensorFlow; the protos
    of gRPC do.

    Args:
        url: `http://localhost:8501/v1/models/imdb` or `grpc://localhost:8500/imdb`, with `https`
            and `grpcs` over TLS; `/versions/3` or `/labels/stable` at the end choose a version.
        headers: Sent with each request, in gRPC as metadata: `{"authorization": "Bearer ..."}`. No
            message shows their values.
        tls: The files of an encrypted connection.
        attempts: Maximum number of attempts per request; `None`: as many as the time allows.
        deadline_seconds: Maximum seconds per request, including all attempts and pauses.
        batch_size: Maximum number of texts per request, which has at most 4 MB of text, too.
        in_flight: Number of concurrent requests.

    Attributes:
        label_names: From the model's signature `classify`. `None` without it: predictions then have
            lists in label order instead of probabilities by name.

    Raises:
        UserError: If the address, an option or the model is invalid.
        ServerUnavailableError: If the server does not respond now.

    Example:
        ```python
        with Client("http://localhost:8501/v1/models/imdb") as client:
            client.predict(["A quiet, moving film."])[0]["label"]  # "pos"
        ```
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        tls: Tls | None = None,
        attempts: int | None = None,
        deadline_seconds: float = 60.0,
        batch_size: int = BATCH_SIZES[-1],
        in_flight: int = 4,
    ):
        self._address = parse_address(url)
        self._headers = check_headers(headers or {})
        counts = {"attempts": attempts, "batch_size": batch_size, "in_flight": in_flight}
        for name, number in counts.items():
            if number is not None and number < 1:
                raise UserError(f"`{name}` is too small.", received=number, expected="1 or more")
        if not 0 < deadline_seconds < float("inf"):
            raise UserError(
                "A request needs time.", received=deadline_seconds, expected="seconds above 0"
            )
        self._limits = {"attempts": attempts, "deadline_seconds": deadline_seconds}
        self._batch_size, self._in_flight = batch_size, in_flight
        self._pool: ThreadPool | None = None
        self._closed = threading.Event()
        self._has_answered = False  # its name may go while a container is started again
        self._connection = _connect(self._address, self._headers, tls, in_flight)
        try:
            signatures = self._call(self._connection.signatures)
            self._signature = read_signature(signatures, self._address.which)
            self.kind, self.has_pairs = self._signature.kind, self._signature.has_pairs
            self.label_names = self._find_label_names(self._signature)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections without waiting for running requests."""
        self._closed.set()
        if self._pool is not None:
            self._pool.terminate()
        self._connection.close()

    def _answer_batches(self, batches: list[list[Texts]]) -> Iterator[list[dict[str, Any]]]:
        """Yields the predictions for each batch in order, with a few batches in flight."""
        if len(batches) == 1 or self._in_flight == 1:
            yield from super()._answer_batches(batches)
            return
        # Unlike an executor's, these threads do not keep the process alive after Ctrl-C.
        self._pool = self._pool or ThreadPool(self._in_flight)
        given_up = threading.Event()

        def answer(rows: list[Texts]) -> list[dict[str, Any]]:
            return [] if given_up.is_set() else self._answer_batch(rows)

        try:
            yield from self._pool.imap(answer, batches)
        finally:
            given_up.set()

    def _outputs(self, rows: list[Texts]) -> dict[str, np.ndarray]:
        """Returns the model's outputs for a batch, by halves if the server takes no such batch."""
        try:
            return self._request(rows)
        except RequestTooLargeError as error:
            if len(rows) == 1:
                size = f"{num_bytes(rows[0]) / 1e6:.1f} MB"
                raise TextError(rows[0], f"A text of {size} is too long. {error}") from error
        half = len(rows) // 2
        parts = [self._outputs(rows[:half]), self._outputs(rows[half:])]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _request(self, rows: list[Texts]) -> dict[str, np.ndarray]:
        """Returns the outputs of one request, checked against the metadata."""
        columns = dict(zip(input_names(self.has_pairs), zip(*rows, strict=True), strict=True))

        def ask(timeout: float) -> dict[str, np.ndarray]:
            found = self._connection.predict(columns, timeout)
            try:
                return {
                    name: read_column(found[name], dtype, len(rows))
                    for name, dtype in self._signature.outputs.items()
                }
            except (KeyError, ValueError, TypeError) as error:
                detail = f"an answer that is not what its metadata says: {error}"
                raise CallError(Why.ANOTHER_SERVICE, detail) from error

        return self._call(ask)

    def _find_label_names(self, signature: TextSignature) -> tuple[str, ...] | None:
        """Returns the label names in order, from the response of `classify`: no other has them."""
        if signature.kind == "number":
            return ()
        if not signature.names_labels:
            return None
        example = dict.fromkeys(input_names(signature.has_pairs), "")
        return self._call(lambda timeout: self._connection.classify(example, timeout))

    def _call(self, function: Callable[[float], Answer]) -> Answer:
        """Calls the server with retries, and turns failures into user errors."""

        def attempt(timeout: float) -> Answer:
            if self._closed.is_set():
                raise UserError("The client is closed.", fix="make a new one.")
            try:
                answer = function(timeout)
            except CallError as error:
                if error.why is Why.NOT_FOUND or _UNKNOWN_LABEL in error.detail:
                    raise self._look_closer(error, timeout) from error
                if error.why is Why.REFUSED and _TOO_MANY_TEXTS.search(error.detail):
                    raise CallError(Why.TOO_LARGE, error.detail) from error
                if error.why is Why.UNKNOWN_HOST and self._has_answered:
                    raise CallError(Why.UNREACHABLE, error.detail) from error
                raise
            self._has_answered = True
            return answer

        try:
            return call_again(attempt, **self._limits, wait=self._closed.wait)
        except CallError as error:
            error.detail = without_secrets(error.detail, self._headers)
            raise user_error(error, self._address) from None  # its cause might show a header

    def _look_closer(self, error: CallError, timeout: float) -> CallError:
        """Finds out why a model is not found: unknown, other versions, or still being loaded."""
        try:
            states = self._connection.states(timeout)
        except CallError:
            return error
        wanted = self._address.version
        if any(state in _LOADING and wanted in (None, number) for number, state, _ in states):
            return CallError(Why.LOADING, error.detail)
        faults = [
            f"version {number} failed to load: {message}"
            for number, state, message in states
            if message and state != _LOADED and wanted in (None, number)
        ]
        served = [str(number) for number, state, _ in sorted(states) if state == _LOADED]
        others = [f"it serves version {', '.join(served)}"] if served else []
        return CallError(Why.NOT_FOUND, "; ".join([error.detail, *faults, *others]))


def _connect(address: Address, headers: Mapping[str, str], tls: Tls | None, size: int):
    """Returns the address's `RestConnection` or `GrpcConnection`."""
    if tls is not None and tls != Tls() and not address.is_secure:
        raise UserError(
            "Certificates are for an encrypted connection, and this one is none.",
            received=f"{address.scheme}://{address.server}",
            expected="https:// or grpcs://",
        )
    context = (tls or Tls()).context() if address.is_secure else None
    if not address.is_grpc:
        from kerasft.client.rest import RestConnection

        return RestConnection(address, headers, context, size)
    # Imported here: the protos import TensorFlow, which REST does not need.
    from kerasft.client.rpc import GrpcConnection

    return GrpcConnection(address, headers, tls or Tls())
