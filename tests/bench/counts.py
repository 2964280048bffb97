"""What our server says of what it answered."""

import http.client
from contextlib import closing
from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """What our server says of what it answered: how many of each decision, and how many without its store."""

    decisions: dict[str, float]
    fallbacks: float

    @classmethod
    def of(cls, port: int) -> "Counts":
        """Read a server's /metrics."""
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return cls.told(text)

    @classmethod
    def told(cls, text: str) -> "Counts":
        """Read what /metrics says.

        >>> Counts.told('riskengine_decisions_total{decision="allow",source="fallback"} 2.0').fallbacks
        2.0
        """
        found: dict[str, float] = {}
        fallbacks = 0.0
        for line in text.splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("riskengine_decisions_total{"):
                decision = name.split('decision="')[1].split('"')[0]
                found[decision] = found.get(decision, 0.0) + float(value)
                fallbacks += float(value) * ('source="fallback"' in name)
        return cls(found, fallbacks)

    def __str__(self) -> str:
        """Return the shares of the decisions in words."""
        total = sum(self.decisions.values())
        shares = ", ".join(f"{count / total:.1%} {name}" for name, count in sorted(self.decisions.items()))
        return f"{total:,.0f} decisions: {shares}; {self.fallbacks:,.0f} without the store"
