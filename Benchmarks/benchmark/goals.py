"""What the gateway must show, as a table of goals, and what a run found of them."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Part:
    """One measure of a goal."""

    name: str
    goal: float
    #: Whether the value may not exceed the goal; otherwise it may not fall short of it.
    at_most: bool
    unit: str = ""

    def met(self, value: float) -> bool:
        return value <= self.goal if self.at_most else value >= self.goal

    def strain(self, value: float) -> float:
        """How far the value is from the goal, above 1 when it is missed."""
        return value / self.goal if self.at_most else self.goal / max(value, 1e-9)


def _at_least(goal: float, name: str) -> Part:
    return Part(name, goal, at_most=False)


def _at_most(goal: float, name: str, unit: str = "") -> Part:
    return Part(name, goal, at_most=True, unit=unit)


TABLE: dict[int, tuple[Part, ...]] = {
    1: (_at_least(3.2, "whole access point against Postfix as a plain relay, 5 KB"),),
    2: (_at_least(0.60, "whole access point against the RSA-2048 limit of all cores"),),
    3: (_at_least(9, "whole access point against a naive gateway in Python, two processes"),),
    4: (_at_least(10, "relay of ordinary mail, unsigned, against Postfix"),),
    5: (_at_least(2.8, "1 MB, signed, no scan, against Postfix"), _at_least(2.8, "20 MB, signed, no scan, against Postfix")),
    6: (_at_least(3, "incoming side against Postfix as a plain relay"),),
    7: (_at_least(935, "whole conversations between two providers a second"),),
    8: (_at_least(0.97, "CMS signatures a second against RSA alone, one core"),),
    # By `packaging`, where the multi-buffer back end can run.
    9: (_at_least(1.7, "RSA-3072, multi-buffer against OpenSSL"), _at_least(2.7, "RSA-4096, multi-buffer against OpenSSL")),
    10: (
        _at_most(40, "memory of an idle TLS session", "KB"),
        _at_most(1, "memory of a 30 MB message in flight", "MB"),
        _at_most(150, "memory of the whole gateway under the load of goal 1", "MB"),
    ),
    11: (_at_most(1.1, "octets written for 50 complete receipts of a 30 MB message, against the message"),),
    12: (
        _at_most(1, "250 after the final dot, p99 at half load, against four fdatasyncs and a signature batch"),
        _at_most(0.1, "the same against Postfix and clamav-milter at half load"),
    ),
    13: (
        _at_least(0.95, "throughput with a long queue (1 million; --quick 20,000) against an empty one"),
        _at_least(0.95, "throughput with a long log (10 million rows; --quick 100,000) against an empty one"),
    ),
    14: (_at_most(5, "start after a crash with a long queue (1 million; --quick 20,000), until it greets and delivers", "s"),),
    15: (_at_most(1, "octets copied in user space for an octet of a body, the whole way"),),
}


@dataclass
class Goals:
    """What was found: values by the goal's number and the place of the measure in it."""

    values: dict[tuple[int, int], float] = field(default_factory=dict)

    def found(self, number: int, value: float, part: int = 0) -> None:
        self.values[number, part] = round(value, 4)

    def rows(self) -> list[dict]:
        """A row for each goal of which something was measured: of several measures the one that is hardest pressed gives `value` and
        `goal`, and `met` needs all of them."""
        rows = []
        for number, parts in TABLE.items():
            found = [(part, self.values[number, at]) for at, part in enumerate(parts) if (number, at) in self.values]
            if not found:
                continue
            hardest, value = max(found, key=lambda each: each[0].strain(each[1]))
            row = {"id": number, "name": hardest.name, "value": value, "goal": hardest.goal, "met": all(p.met(v) for p, v in found)}
            if len(parts) > 1:
                row["parts"] = [
                    {"name": p.name, "value": v, "goal": p.goal, "unit": p.unit, "atMost": p.at_most, "met": p.met(v)} for p, v in found
                ]
                row["missingParts"] = [part.name for at, part in enumerate(parts) if (number, at) not in self.values]
            rows.append(row | {"atMost": hardest.at_most, "unit": hardest.unit})
        return rows

    def lines(self) -> list[list[str]]:
        """For people: every measure a line, the head first."""
        cells = [["goal", "measure", "found", "wanted", ""]]
        for (number, at), value in sorted(self.values.items()):
            part = TABLE[number][at]
            bound = f"{'≤' if part.at_most else '≥'} {part.goal:g} {part.unit}".strip()
            cells.append([f"{number}", part.name, f"{value:.3g} {part.unit}".strip(), bound, "met" if part.met(value) else "missed"])
        return cells
