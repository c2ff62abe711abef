"""Commands by the official package against a double of the REST API."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from telephony.errors import MediaError
from telephony.twilio.control import CallGone, TwilioControl
from tests.unit.telephony.twilio.rest import ACCOUNT, RestDouble, rest_double

pytest.importorskip("twilio", reason="extra twilio is not installed")


@pytest.fixture
async def rest() -> AsyncIterator[RestDouble]:
    async with rest_double() as double:
        yield double


@pytest.fixture
async def control(rest: RestDouble) -> AsyncIterator[TwilioControl]:
    made = TwilioControl(account_sid=ACCOUNT, user="SK1", password="secret", api_url=rest.url)
    yield made
    await made.aclose()


async def test_a_call_is_placed_with_its_webhooks(rest: RestDouble, control: TwilioControl) -> None:
    sid = await control.call(
        "+15551234567", caller="+15557654321", voice_url="https://a.example/v", status_url="https://a.example/s"
    )
    assert sid in rest.calls
    _, fields = rest.asked[0]
    assert (fields["To"], fields["From"], fields["Url"]) == ("+15551234567", "+15557654321", "https://a.example/v")
    assert fields["StatusCallback"] == "https://a.example/s"
    assert rest.users == {"SK1:secret"}


async def test_a_running_call_gets_new_twiml_and_an_end(rest: RestDouble, control: TwilioControl) -> None:
    sid = await control.call("+15551234567", caller="+15557654321", voice_url="https://a.example/v")
    await control.redirect(sid, "<Response><Hangup/></Response>")
    assert rest.asked[-1][1] == {"Twiml": "<Response><Hangup/></Response>"}
    assert await control.hang_up(sid)
    assert rest.asked[-1][1] == {"Status": "completed"}
    assert not await control.hang_up(sid), "20404: it is gone already, which is what was wanted"


async def test_a_call_that_is_gone_cannot_be_redirected(control: TwilioControl) -> None:
    with pytest.raises(CallGone):
        await control.redirect("CA" + "9" * 32, "<Response/>")


async def test_a_refusal_tells_twilios_own_code(rest: RestDouble, control: TwilioControl) -> None:
    rest.fail = (400, 21211)
    with pytest.raises(MediaError, match="21211"):
        await control.call("+1", caller="+1", voice_url="https://a.example/v")


async def test_no_server_is_an_error_of_the_media_and_no_traceback() -> None:
    control = TwilioControl(account_sid=ACCOUNT, user="SK1", password="secret", api_url="http://127.0.0.1:1")
    with pytest.raises(MediaError, match="no answer"):
        await control.hang_up("CA" + "9" * 32)
    await control.aclose()
