"""Faults that show in a text alone: wrong encodings, control characters, markup."""

from __future__ import annotations

import re

INVALID_UTF8 = "invalid_utf8"
REPLACEMENT_CHARACTER = "replacement_character"
MOJIBAKE = "mojibake"
CONTROL_CHARACTER = "control_character"
HTML = "html"
FAULTS = (INVALID_UTF8, REPLACEMENT_CHARACTER, MOJIBAKE, CONTROL_CHARACTER, HTML)

# Bytes 0x80 to 0xBF, which go on with a character in UTF-8, as Latin-1 and as Windows-1252 show
# them: "Ã©" for "é", "â€™" for an apostrophe, "ðŸ˜€" for an emoji.
_CONTINUATIONS = bytes(range(0x80, 0xC0))
_CONTINUED = re.escape(
    _CONTINUATIONS.decode("latin-1") + _CONTINUATIONS.decode("cp1252", errors="ignore")
)
_MOJIBAKE = re.compile(rf"[ÂÃ][{_CONTINUED}]|â(?:€|\x80)[{_CONTINUED}]|ð(?:Ÿ|\x9f)[{_CONTINUED}]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_TAGS = (
    "a|b|blockquote|br|code|div|em|font|h[1-6]|hr|i|img|li|ol|p|pre|span|strong|table|td|tr|u|ul"
)
_HTML = re.compile(
    rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>|&(?:#\d+|amp|gt|lt|nbsp|quot|apos);", re.IGNORECASE
)


def find_faults(text: bytes) -> list[str]:
    """Returns which of `FAULTS` a text has.

    Args:
        text: Meant to be UTF-8.
    """
    faults = []
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        faults.append(INVALID_UTF8)
        decoded = text.decode(errors="ignore")
    if not decoded.isascii():
        if "\ufffd" in decoded:
            faults.append(REPLACEMENT_CHARACTER)
        if _MOJIBAKE.search(decoded):
            faults.append(MOJIBAKE)
    if _CONTROL.search(decoded) and MOJIBAKE not in faults:  # which has such characters itself
        faults.append(CONTROL_CHARACTER)
    if _HTML.search(decoded):
        faults.append(HTML)
    return faults
