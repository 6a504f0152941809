"""Ways to damage a file; each takes its bytes and a random generator and returns other bytes."""

import io
import random
import re
import zipfile
from collections.abc import Callable

Mutation = Callable[[bytes, random.Random], bytes]

NUMBERS = [0, 1, 0x7F, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63]
TEXTS = [b"", b"-1", b"0", b"99999999999", b"nan", b"1e400", b"1_0", b"None", b"{}", b"[]"]
TEXTS += [b"9" * 5000, b"\xff", b"\xed\xa0\x80", b"(" * 2000, b"[" * 20000, b'"', b"\x00", b"\n"]


def flip(content: bytes, draw: random.Random) -> bytes:
    """Flip one to eight bits anywhere."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 2, 8])):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def bit(content: bytes, draw: random.Random) -> bytes:
    """Flip one bit anywhere."""
    changed = bytearray(content)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def truncate(content: bytes, draw: random.Random) -> bytes:
    """Cut the end off."""
    return content[: draw.randrange(len(content))]


def splice(content: bytes, draw: random.Random) -> bytes:
    """Copy, move or remove a piece."""
    a, b = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    b = min(b, a + draw.choice([1, 4, 64, len(content)]))
    to = draw.randrange(len(content) + 1)
    return draw.choice(
        [
            content[:a] + content[b:],
            content[:to] + content[a:b] + content[to:],
            content + content[a:b],
        ]
    )


def header(content: bytes, draw: random.Random) -> bytes:
    """Write a number where lengths, shapes and offsets stand: near the start or the end."""
    reach = min(len(content), 300)
    place = draw.randrange(reach)
    place = draw.choice([place, len(content) - 1 - place])
    size = draw.choice([1, 2, 4, 8])
    number = (draw.choice(NUMBERS) % 256**size).to_bytes(size, draw.choice(["little", "big"]))
    return content[:place] + number + content[place + size :]


def word(content: bytes, draw: random.Random) -> bytes:
    """Put another word in the place of one."""
    words = list(re.finditer(rb"[\w.+-]+", content[:20000]))
    if not words:
        return flip(content, draw)
    chosen = draw.choice(words)
    new = draw.choice([*TEXTS, draw.choice(words)[0], str(draw.choice(NUMBERS)).encode()])
    return content[: chosen.start()] + new + content[chosen.end() :]


def inside(content: bytes, draw: random.Random) -> bytes:
    """Damage a member of a zip archive and give it the checksum that fits."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {one: archive.read(one) for one in archive.infolist()}
    small = [one for one in members if one.filename.endswith((".pkl", ".npy"))]
    chosen = draw.choice(small)
    changed = draw.choice([flip, truncate, splice, header, word])(members[chosen], draw)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for one, old in members.items():
            archive.writestr(one.filename, changed if one is chosen else old, one.compress_type)
    return target.getvalue()


PLAIN: tuple[Mutation, ...] = (flip, truncate, splice, header, word)
ZIPPED = (*PLAIN, inside, inside)
MUTATIONS = {one.__name__: one for one in (*PLAIN, inside, bit)}
"""All ways, by name."""
