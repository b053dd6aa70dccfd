"""Mail of all sizes, as people send it.

Sizes follow what was published of mail servers' traffic. Messages without attachments: log-normal, as Matsubara found for the parts of a
campus server's mail ("Fluctuations in email size", Eur. Phys. J. Plus 132, 2017), with half of them below 4 KB and two thirds below 8 KB,
as in the cumulative distribution that Buchner took from a server's log of 11 powers of two ("Modelling realistic email traffic", 2009).
There nine messages in ten are below 64 KB, so about one in ten has an attachment, and the tail up to some megabytes is theirs. Certified
mail is sent for the documents it carries: here one in five has one, log-normal too, from 50 KB to 5 MB in base64. No sizes of certified
mail are published.

The sizes are quantiles, not draws: each run has the same messages, and the tail its share.
"""

import random
import statistics
from pathlib import Path

from interop.lab import ANNA

from . import mailbag
from .load import RECIPIENT, Load
from .rounds import Comparison
from .scenarios import explain, ratio, report
from .stage import Stage

#: Different messages, in which every share below is a whole number of them.
_MESSAGES = 200
_WITH_ATTACHMENT = 0.2
#: Median in octets, and standard deviation of the natural logarithm.
_PLAIN, _ATTACHED = (4_000, 1.2), (300_000, 1.2)
_SMALLEST, _LEAST_ATTACHED, _MOST_ATTACHED = 1_500, 50_000, 5_000_000
_SESSIONS = 20


def sizes(count: int = _MESSAGES) -> list[int]:
    """Sizes of that many messages, those with an attachment last."""
    attached = round(count * _WITH_ATTACHMENT)
    plain = _quantiles(*_PLAIN, count - attached)
    large = _quantiles(*_ATTACHED, attached)
    return [max(_SMALLEST, size) for size in plain] + [min(max(_LEAST_ATTACHED, size), _MOST_ATTACHED) for size in large]


def _quantiles(median: float, deviation: float, count: int) -> list[int]:
    normal = statistics.NormalDist()
    return [round(median * 2.718281828459045 ** (deviation * normal.inv_cdf((place + 0.5) / count))) for place in range(count)]


def fill(folder: Path) -> int:
    """Puts the messages into a folder; their mean size in octets."""
    folder.mkdir()
    dice = random.Random(5)
    whole = sizes()
    attached = len(whole) - round(len(whole) * _WITH_ATTACHMENT)
    numbered = list(enumerate(whole))
    dice.shuffle(numbered)
    written = 0
    for place, (number, size) in enumerate(numbered):
        octets = mailbag.message(dice, size, number) if number >= attached else mailbag.plain_message(dice, size)
        octets = octets.replace(b"To: bruno@pec.beta.test\r\n", f"To: {RECIPIENT}\r\n".encode(), 1)
        (folder / f"{place:06}.eml").write_bytes(octets)
        written += len(octets)
    return written // len(whole)


def mix(stage: Stage) -> None:
    """The whole access point with mail of all sizes, beside a plain relay."""
    folder = stage.folder / "mix"
    mean = fill(folder)
    comparison = Comparison("mix", [stage.access_point, stage.postfix], stage.rounds, stage.minutes, stage.folder)
    count = _MESSAGES if stage.quick else 4 * _MESSAGES
    rows = comparison.measure(lambda number: Load(mean, number, _SESSIONS, folder, ANNA, [RECIPIENT]), count, 50, not stage.quick)
    report(
        stage, comparison,
        f"Mail of all sizes: {_MESSAGES} messages of {min(sizes()):,} to {max(sizes()):,} octets, the mean {mean:,}, one in five with an "
        "attachment; scanned and signed",
    )  # fmt: skip
    if (found := ratio(rows, "postfix")) is not None:
        stage.floors["mail of all sizes at the whole access point, against Postfix as a plain relay"] = found
    explain(stage, stage.access_point, Load(mean, count, _SESSIONS, folder, ANNA, [RECIPIENT]), "mix")
