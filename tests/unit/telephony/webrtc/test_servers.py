from __future__ import annotations

import pytest

from telephony.webrtc.servers import IceServer, check_url


@pytest.mark.parametrize(
    "url", ["stun:stun.example.org", "stun:192.0.2.1:3478", "turn:t.example:3478?transport=tcp", "turns:t.example"]
)
def test_a_server_url_is_taken(url: str) -> None:
    assert check_url(url) is None


@pytest.mark.parametrize(
    "url", ["", "http://x", "stun:", "stun:h:0", "stun:h:99999", "turn:h?transport=sctp", 'stun:h"']
)
def test_a_url_that_names_no_server_is_refused(url: str) -> None:
    assert check_url(url) is not None


def test_credentials_are_told_where_there_are_some() -> None:
    server = IceServer(url="turn:t.example", username="u", credential="c")
    assert server.to_browser() == {"urls": "turn:t.example", "username": "u", "credential": "c"}
    assert 'rel="ice-server"; username="u"; credential="c"' in server.links()[0]
    assert "credential" not in IceServer(url="stun:s").to_browser()
    assert "c" not in repr(server).replace("credential", "").replace("IceServer", "").split("url")[0]
