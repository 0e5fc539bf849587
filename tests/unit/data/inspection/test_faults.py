import pytest

from kerasft.data.inspection.scan import (
    CONTROL_CHARACTER,
    HTML,
    INVALID_UTF8,
    MOJIBAKE,
    REPLACEMENT_CHARACTER,
    find_faults,
)


def mistaken(text, encoding):
    """The text as it comes out when its UTF-8 was read in another encoding."""
    return text.encode().decode(encoding).encode()


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (b"", []),
        (b"A quiet film, 3 < 4 & 5 > 4.\r\n\tNext line.", []),
        ("Ça, où? Était-ce «l'été»… São João, “Ô”, Ãva; 12 Â 13".encode(), []),
        ("寿司 🍣 naïve".encode(), []),
        (b"caf\xe9", [INVALID_UTF8]),
        ("caf\ufffd".encode(), [REPLACEMENT_CHARACTER]),
        (mistaken("café", "latin-1"), [MOJIBAKE]),
        (mistaken("É", "cp1252"), [MOJIBAKE]),
        (mistaken("that’s", "cp1252"), [MOJIBAKE]),
        (mistaken("that’s", "latin-1"), [MOJIBAKE]),
        (mistaken("😀", "cp1252"), [MOJIBAKE]),
        (b"a\x00b", [CONTROL_CHARACTER]),
        ("a\u0085b".encode(), [CONTROL_CHARACTER]),
        (b"One.<br />Two.", [HTML]),
        (b'<A href="x">Two</a>', [HTML]),
        (b"Fish &amp; chips", [HTML]),
        (b"I <3 you; if a<b, b>c; <name> of <people>", []),
        (b"caf\xe9 <br>\x07", [INVALID_UTF8, CONTROL_CHARACTER, HTML]),
    ],
)
def test_faults(text, faults):
    assert find_faults(text) == faults
