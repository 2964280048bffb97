"""What one compares with: a FastAPI route that takes the request of POST /score, does nothing, and answers alike."""

import sys

from fastapi import FastAPI

from riskengine.api.schema import Answer, EventBody
from riskengine.policy.policy import SIGNALS
from tests.bench.uvicorn_server import serve

# As `riskengine serve` answers an ordinary login, with every member that a full answer has.
ANSWER = Answer.model_validate(
    {
        "event_id": "0000000000000000-00000001",
        "occurred_at": "2026-11-25T12:00:00.000Z",
        "user_ref": "0123456789abcdef0123456789abcdef",
        "decision": "allow",
        "score": 11.0,
        "level": "low",
        "reasons": [
            {
                "code": "new_place",
                "points": 11.0,
                "message": "First login from Lisbon",
                "evidence": {"place": "Lisbon", "known": True},
            }
        ],
        "location": {
            "country": "PT", "region": None, "city": "Lisbon", "place": "Lisbon",
            "latitude": 38.7223, "longitude": -9.1393, "radius_km": 20.0, "precision": "city",
        },
        "network": {
            "asn": 3243, "name": "Servicos De Comunicacoes E Multimedia S.A.", "kind": "broadband", "claimed": None,
            "evidence": None, "evidence_date": None,
        },
        "travel": {
            "from": {"country": "PT", "place": None, "latitude": 41.1579, "longitude": -8.6291, "radius_km": 20.0},
            "to": {"country": "PT", "place": "Lisbon", "latitude": 38.7223, "longitude": -9.1393, "radius_km": 20.0},
            "distance_km": 274.0, "seconds": 86400.0, "min_speed_kmh": 9.8, "impossible": 0.0, "rough": False,
            "habitual": False,
        },
        "signals": dict.fromkeys(SIGNALS, 0.0),
        "vouched": [{"by": "device", "points": 5.0}],
        "maturity": "ripe",
        "step_up": None,
        "would_be": None,
        "shadow": None,
        "policy": {"name": "default", "version": "0123456789abcdef", "mode": "enforce", "step_up_at": 40.0},
        "data": {"source": "made up", "date": "2026-11-01", "attribution": []},
        "source": "engine",
        "degraded": [],
    }
)  # fmt: skip
app = FastAPI()


@app.post("/score")
async def score(event: EventBody) -> Answer:
    """Answer what never changes."""
    return ANSWER


if __name__ == "__main__":
    serve(app, int(sys.argv[1]))
