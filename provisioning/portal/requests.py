"""What the set-up page answers to a request. Pure: the server around it moves bytes, and carries out what was taken."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

from appliance.interfaces.network import FoundNetwork
from provisioning.draft import Draft, Note
from provisioning.portal.page import POLICY, STYLE, done_page, draft_of, form_page

LONGEST_BODY: Final = 16_384
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Check = Callable[[Draft], Sequence[Note]]
"""What the configuration's own rules say of a draft: faults."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    host: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: str = ""
    kind: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=lambda: dict(_HEADERS))
    taken: Draft | None = None
    """What is to be carried out once the response has gone out."""


@dataclass(slots=True)
class Portal:
    """What the page knows. `ticket` is in its form, so that no other page can fill it in."""

    device: str
    address: str
    ticket: str
    check: Check
    networks: Sequence[FoundNetwork] = ()
    notes: Sequence[Note] = ()

    def answer(self, request: Request) -> Response:
        """Telephones and computers ask for addresses of their own to see whether there is an internet: whatever is not
        ours leads to the page, which they then show."""
        path = request.path.partition("?")[0]
        if request.method not in ("GET", "HEAD", "POST"):
            return Response(405)
        if request.host.partition(":")[0] != self.address:
            return self._elsewhere()
        if path == "/style.css":
            return Response(200, STYLE, "text/css; charset=utf-8")
        if request.method == "POST":
            return self._take(request) if path == "/setup" else Response(404)
        return self._form({}, self.notes) if path == "/" else self._elsewhere()

    def _elsewhere(self) -> Response:
        return Response(302, headers={**_HEADERS, "Location": f"http://{self.address}/"})

    def _form(self, form: Mapping[str, str], notes: Sequence[Note], status: int = 200) -> Response:
        return Response(status, form_page(self.device, self.ticket, self.networks, form, notes))

    def _take(self, request: Request) -> Response:
        if len(request.body) > LONGEST_BODY:
            return Response(413)
        try:
            given = parse_qs(request.body.decode("utf-8"), keep_blank_values=True, max_num_fields=40)
        except ValueError:
            return Response(400)
        form = {name: values[-1] for name, values in given.items()}
        if not hmac.compare_digest(form.get("ticket", "").encode(), self.ticket.encode()):
            return self._form(form, [Note("this page is too old: fill it in again", kind="fault")], 403)
        draft = draft_of(form)
        faults = [*draft.faults, *self.check(draft)]
        if faults:
            return self._form(form, faults, 422)
        ssid = draft.system.networks[0].ssid
        return Response(200, done_page(self.device, ssid), taken=draft)
