"""The addresses of the pages. None holds a name or an address of anybody: events by id, users by reference."""

from starlette.routing import Route

from riskengine.console import blocks, event, home, policy, search, sign_in, status, users, verdicts
from riskengine.console.door import action, open_action, page, watch
from riskengine.console.render import EDITION, STATIC, static

ROUTES = (
    Route("/console", page(home.overview), methods=["GET"]),
    Route("/console/sign-in", sign_in.ask, methods=["GET"]),
    Route("/console/sign-in", open_action(sign_in.sign_in), methods=["POST"]),
    Route("/console/sign-out", action(sign_in.sign_out), methods=["POST"]),
    Route("/console/events", action(event.open_event), methods=["POST"]),
    Route("/console/events/{event_id}", page(event.read), methods=["GET"]),
    Route("/console/events/{event_id}/reveal", action(event.reveal), methods=["POST"]),
    Route("/console/events/{event_id}/report", action(event.report, "verdict"), methods=["POST"]),
    Route("/console/tail", watch(home.tail), methods=["GET"]),
    Route("/console/search", page(search.ask), methods=["GET"]),
    Route("/console/search", action(search.save), methods=["POST"]),
    Route("/console/search/{search}", page(search.show), methods=["GET"]),
    Route("/console/users/{user_ref}", page(users.read), methods=["GET"]),
    Route("/console/users/{user_ref}/reveal", action(users.reveal), methods=["POST"]),
    Route("/console/users/{user_ref}/remediate", action(users.remediate, "verdict"), methods=["POST"]),
    Route("/console/verdicts", action(verdicts.count, "verdict"), methods=["POST"]),
    Route("/console/verdicts/step", action(verdicts.step, "verdict"), methods=["POST"]),
    Route("/console/verdicts/{verdicts_id}/undo", action(verdicts.undo, "verdict"), methods=["POST"]),
    Route("/console/blocks", page(blocks.read), methods=["GET"]),
    Route("/console/blocks", action(blocks.add, "verdict"), methods=["POST"]),
    Route("/console/blocks/{block_id}/lift", action(blocks.lift, "verdict"), methods=["POST"]),
    Route("/console/policy", page(policy.policy), methods=["GET"]),
    Route("/console/status", page(status.status), methods=["GET"]),
    *(Route(f"/console/static/{EDITION}/{name}", static(name), methods=["GET"]) for name in STATIC),
)
