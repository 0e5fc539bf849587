import pytest

from kerasft.client.address import parse_address
from kerasft.errors import UserError


@pytest.mark.parametrize(
    ("url", "server", "which", "path"),
    [
        ("http://h:8501/v1/models/imdb", "h:8501", "imdb", "/v1/models/imdb"),
        ("http://h/v1/models/imdb/", "h:80", "imdb", "/v1/models/imdb"),
        ("https://h/v1/models/imdb:predict", "h:443", "imdb", "/v1/models/imdb"),
        ("https://h/a/b/v1/models/m", "h:443", "m", "/a/b/v1/models/m"),
        (
            "http://[::1]:1/v1/models/m/versions/3",
            "[::1]:1",
            "m version 3",
            "/v1/models/m/versions/3",
        ),
        ("http://h/v1/models/m/labels/new", "h:80", "m label new", "/v1/models/m/labels/new"),
        ("http://h/v1/models/a%20b", "h:80", "a b", "/v1/models/a%20b"),
        ("grpc://h/imdb", "h:8500", "imdb", "/v1/models/imdb"),
        ("grpcs://h:1/imdb/versions/3", "h:1", "imdb version 3", "/v1/models/imdb/versions/3"),
        ("grpc://h/v1/models/imdb", "h:8500", "imdb", "/v1/models/imdb"),
    ],
)
def test_addresses(url, server, which, path):
    address = parse_address(url)
    assert (address.server, address.which, address.version_path) == (server, which, path)
    assert address.is_grpc == url.startswith("grpc")
    assert address.is_secure == url.split(":")[0].endswith("s")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "This is no address of a served model"),
        ("saved_models/imdb", "This is no address of a served model"),
        ("localhost:8501/v1/models/imdb", "This is no address of a served model"),
        ("ftp://h/v1/models/imdb", "This is no address of a served model"),
        ("http:///v1/models/imdb", "This is no address of a served model"),
        ("http://h:99999/v1/models/imdb", "no address of a served model: Port out of range"),
        ("http://[::1/v1/models/imdb", "no address of a served model: Invalid IPv6"),
        ("http://h:8501", "The path of this address names no model"),
        ("http://h:8501/imdb", "The path of this address names no model"),
        ("http://h/v1/models/", "The path of this address names no model"),
        ("http://h/v1/models/m/versions/new", "The path of this address names no model"),
        ("http://h/v1/models/m?verbose=1", "The path of this address names no model"),
        ("grpc://h", "The path of this address names no model"),
        ("grpc://h/a/b/imdb", "has nothing before the model's name"),
    ],
)
def test_addresses_that_are_none(url, message):
    with pytest.raises(UserError, match=message) as caught:
        parse_address(url)
    assert f"Received: {url!r}. Expected: http://HOST:8501/v1/models/NAME" in str(caught.value)


def test_a_password_in_an_address_is_not_shown():
    with pytest.raises(UserError, match=r"is not sent.*KERASFT_HEADERS") as caught:
        parse_address("http://me:s3cret@h/v1/models/imdb")
    assert "s3cret" not in str(caught.value)
