"""TwiML that we answer with. Pure. Values are escaped by the one serialiser here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement, tostring

from telephony.errors import RemoteProtocolError

_NUMBER = re.compile(r"(?:tel:)?(\+[1-9][0-9]{6,14})\Z")
_SIP = re.compile(r"sips?:[A-Za-z0-9._~!$&'()*+,;=%-]{1,64}@[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?\Z")
DIAL_TIMEOUT_S = 30


def connect_stream(url: str, parameters: Iterable[tuple[str, str]], *, action: str, status_callback: str) -> str:
    """A call on a bidirectional stream. When the stream is over, Twilio asks ``action`` what comes next."""
    response, connect = _response("Connect", action=action, method="POST")
    stream = SubElement(connect, "Stream", url=url, statusCallback=status_callback, statusCallbackMethod="POST")
    for name, value in parameters:
        SubElement(stream, "Parameter", name=name, value=value)
    return _text(response)


def dial(target: str, *, action: str = "") -> str:
    """A call handed on to a number or a SIP address; ``action`` is asked when that is over.

    Raises ``RemoteProtocolError`` for a target of another form.
    """
    attributes = {"timeout": str(DIAL_TIMEOUT_S)}
    if action:
        attributes |= {"action": action, "method": "POST"}
    response, verb = _response("Dial", **attributes)
    number, sip = _NUMBER.match(target), _SIP.match(target)
    if number is None and sip is None:
        raise RemoteProtocolError("transfer target must be +E.164, tel: or sip:", rule="bad-target")
    noun = SubElement(verb, "Number" if number is not None else "Sip")
    noun.text = number[1] if number is not None else target
    return _text(response)


def redirect(url: str) -> str:
    """A call that another server takes over."""
    response, verb = _response("Redirect", method="POST")
    verb.text = url
    return _text(response)


def reject_busy() -> str:
    """A call that is not answered: the caller hears that the line is busy."""
    return _text(_response("Reject", reason="busy")[0])


def hang_up() -> str:
    """The end."""
    return _text(_response("Hangup")[0])


def _response(verb: str, **attributes: str) -> tuple[Element, Element]:
    response = Element("Response")
    return response, SubElement(response, verb, attributes)


def _text(response: Element) -> str:
    return '<?xml version="1.0" encoding="UTF-8"?>' + tostring(response, encoding="unicode")
