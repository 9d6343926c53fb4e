"""Bytes to text by a declared charset; names outside the table are not looked up.

RFC 2978, RFC 2046 §4.1.2.  Python's registry would be too obliging with names that a
stranger chose: it remembers every unknown name for ever, probes the disk for each, and
has codecs that are no charset or take quadratic time (idna, punycode).

Gives:  text, always; what does not fit becomes U+FFFD.
Fails:  never.
"""

from __future__ import annotations

# what mail is written in; the value is Python's codec
_CODECS: dict[str, str] = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "utf-7": "utf-7",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "us-ascii": "utf-8",  # those who say ascii and mean it lose nothing
    "ascii": "utf-8",
    "iso-8859-1": "cp1252",  # as the WHATWG does: nobody sends C1 controls
    "latin1": "cp1252",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "hz-gb-2312": "hz",
    "big5": "cp950",
    "chinesebig5": "cp950",
    "big5-hkscs": "big5hkscs",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "cp949": "cp949",
    "iso-2022-kr": "iso2022_kr",
    "iso-2022-jp": "iso2022_jp_ext",
    "euc-jp": "euc_jp",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "cp932": "cp932",
    "koi8-r": "koi8_r",
    "koi8-u": "koi8_u",
    "macintosh": "mac_roman",
    **{f"iso-8859-{n}": f"iso8859_{n}" for n in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)},
    **{f"{kind}125{n}": f"cp125{n}" for kind in ("windows-", "cp") for n in range(9)},
    **{f"{kind}{n}": f"cp{n}" for kind in ("ibm", "cp") for n in (437, 850, 852, 855, 866)},
}


def known(charset: str) -> bool:
    """Whether this name (any case) is a charset that we read."""
    return charset.lower() in _CODECS


def decode(data: bytes, charset: str = "") -> str:
    """Text of `data`; "" and unknown names mean UTF-8 if it is, else windows-1252."""
    codec = _CODECS.get(charset.lower(), "utf-8")
    try:
        return data.decode(codec)
    except UnicodeDecodeError as trouble:
        # a character cut off at the end, after others that fit, is still UTF-8
        at = trouble.start
        cut = at >= len(data) - 3 and not data[:at].isascii()
        return data.decode(codec if cut or codec != "utf-8" else "cp1252", "replace")
    except UnicodeError:  # utf-16 and utf-7 raise the plain kind for some bytes
        return data.decode(codec, "replace")
