"""A challenge over several workers."""

import asyncio
from pathlib import Path

from riskengine.app import clock
from riskengine.check import format_time
from tests.fixtures_geo import World
from tests.served import Caller, Served, serving, settings_of

CONNECTIONS = 12


def test_a_challenge_of_one_worker_is_known_to_every_other_and_works_once(tmp_path: Path, world: World) -> None:
    """Twelve connections, so both workers; each tells another outcome than its neighbours, all at once."""
    now = clock()
    places = (("192.0.2.10", now - 600_000), ("198.51.100.10", now))

    async def told(served: Served) -> list[tuple[str, int]]:
        callers = [await Caller(served).connect() for _ in range(CONNECTIONS)]
        for at, (ip, when) in enumerate(places):
            login = {
                "user_id": "challenged",
                "ip": ip,
                "occurred_at": format_time(when),
                "event_id": f"challenged-{at}",
            }
            answer = await callers[0].score(login)
        challenge = answer["step_up"]["challenge"]
        results = ["step_up_passed", "step_up_failed", "step_up_abandoned"] * (CONNECTIONS // 3)
        found = await asyncio.gather(
            *(
                caller.post("/events/challenged-1/report", {"result": result, "challenge": challenge})
                for caller, result in zip(callers, results, strict=True)
            )
        )
        for caller in callers:
            caller.close()
        return [(result, status) for result, (status, _) in zip(results, found, strict=True)]

    with serving(settings_of(tmp_path / "home", world, workers=2)) as served:
        outcomes = asyncio.run(told(served))

    assert len({result for result, status in outcomes if status == 200}) == 1
    assert {status for _, status in outcomes} == {200, 409}
