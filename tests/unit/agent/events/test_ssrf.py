"""Where webhooks may go."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from agent.events.ssrf import AddressRefused, Guard, GuardedResolver, UrlRefused

GOOD = [
    "https://example.org/hook",
    "https://example.org:8443/hook?x=1",
    "https://EXAMPLE.org./hook",
    "https://bücher.example/hook",
    "https://93.184.216.34/hook",
    "https://[2606:2800:220:1::1]/hook",
]
BAD = [
    ("http://example.org/", "scheme"),
    ("ftp://example.org/", "scheme"),
    ("file:///etc/passwd", "scheme"),
    ("gopher://example.org/", "scheme"),
    ("//example.org/", "scheme"),
    ("example.org", "scheme"),
    ("", "scheme"),
    ("https://", "bad_url"),
    ("https:///path", "bad_url"),
    ("https://[::1", "bad_url"),
    ("https://example.org:99999/", "bad_url"),
    ("https://example.org:22/", "port"),
    ("https://example.org:80/", "port"),
    ("https://user@example.org/", "userinfo"),
    ("https://user:pw@example.org/", "userinfo"),
    ("https://:pw@example.org/", "userinfo"),
    ("https://example.org/" + "x" * 2048, "too_long"),
    ("https://127.0.0.1/", "private_address"),
    ("https://127.0.0.1./", "private_address"),
    ("https://127.255.0.9/", "private_address"),
    ("https://0.0.0.0/", "private_address"),
    ("https://10.1.2.3/", "private_address"),
    ("https://100.64.0.1/", "private_address"),
    ("https://169.254.169.254/latest/meta-data", "private_address"),
    ("https://172.16.0.1/", "private_address"),
    ("https://192.168.1.1/", "private_address"),
    ("https://192.0.0.8/", "private_address"),
    ("https://192.0.2.1/", "private_address"),
    ("https://192.88.99.1/", "private_address"),
    ("https://198.18.0.1/", "private_address"),
    ("https://203.0.113.9/", "private_address"),
    ("https://224.0.0.1/", "private_address"),
    ("https://255.255.255.255/", "private_address"),
    ("https://[::]/", "private_address"),
    ("https://[::1]/", "private_address"),
    ("https://[::ffff:127.0.0.1]/", "private_address"),
    ("https://[::ffff:7f00:1]/", "private_address"),
    ("https://[::7f00:1]/", "private_address"),
    ("https://[64:ff9b::7f00:1]/", "private_address"),
    ("https://[64:ff9b:1::1]/", "private_address"),
    ("https://[2002:7f00:1::]/", "private_address"),
    ("https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "private_address"),
    ("https://[2001:db8::1]/", "private_address"),
    ("https://[fc00::1]/", "private_address"),
    ("https://[fe80::1]/", "private_address"),
    ("https://[fec0::1]/", "private_address"),
    ("https://[ff02::1]/", "private_address"),
    ("https://2130706433/", "odd_address"),
    ("https://0x7f.1/", "odd_address"),
    ("https://0x7f000001/", "odd_address"),
    ("https://127.1/", "odd_address"),
    ("https://0177.0.0.1/", "odd_address"),
    ("https://127.0.0.01/", "odd_address"),
]


@pytest.mark.parametrize("url", GOOD)
def test_a_public_https_url_passes(url: str) -> None:
    Guard().check_url(url)


@pytest.mark.parametrize(("url", "rule"), BAD)
def test_a_url_that_leads_inside_is_refused(url: str, rule: str) -> None:
    with pytest.raises(UrlRefused) as told:
        Guard().check_url(url)
    assert told.value.rule == rule


@pytest.mark.parametrize("url", ["https://[fe80::1%25eth0]/", "https://１２７.0.0.1/", "https://①27.0.0.1/"])
def test_a_disguised_address_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        Guard().check_url(url)


def test_development_may_allow_http_and_other_ports_but_not_other_networks() -> None:
    guard = Guard(allow_http=True)
    guard.check_url("http://example.org:8000/")
    with pytest.raises(UrlRefused, match="private_address"):
        guard.check_url("http://127.0.0.1:8000/")


def test_the_operator_may_allow_a_network() -> None:
    guard = Guard(allow_http=True, networks=["127.0.0.0/8", "fd00::/16"])
    guard.check_url("http://127.0.0.1:8000/")
    guard.check_url("http://[::ffff:127.0.0.1]:8000/")
    guard.check_url("http://[fd00::1]/")
    for url in ("http://10.0.0.1/", "http://[fd01::1]/", "http://[64:ff9b::7f00:1]/", "http://0x7f.1/"):
        with pytest.raises(UrlRefused):
            guard.check_url(url)


def test_every_address_of_the_lists_is_refused_and_public_ones_are_not() -> None:
    guard = Guard()
    for text in ("8.8.8.8", "1.1.1.1", "2606:4700::1111"):
        assert guard.refusal(ipaddress.ip_address(text)) is None
    for text in ("198.51.100.1", "240.0.0.1", "100::1", "2001:10::1", "::ffff:0:0", "64:ff9b::808:808"):
        assert guard.refusal(ipaddress.ip_address(text)), text


class FakeResolver(AbstractResolver):
    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        found = self.answers.pop(0)
        return [ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0) for one in found]

    async def close(self) -> None:
        return None


async def test_a_name_that_answers_differently_the_second_time_is_refused() -> None:
    resolver = GuardedResolver(Guard(), FakeResolver(["93.184.216.34"], ["127.0.0.1"]))
    assert [one["host"] for one in await resolver.resolve("rebind.example", 443)] == ["93.184.216.34"]
    with pytest.raises(AddressRefused, match=r"rebind\.example: 127\.0\.0\.1 is not public"):
        await resolver.resolve("rebind.example", 443)


@pytest.mark.parametrize("second", ["127.0.0.1", "fe80::1%eth0", "10.0.0.1", "nonsense"])
async def test_one_bad_address_among_good_ones_refuses_the_name(second: str) -> None:
    resolver = GuardedResolver(Guard(), FakeResolver(["93.184.216.34", second]))
    with pytest.raises(AddressRefused):
        await resolver.resolve("mixed.example", 443)
    await resolver.close()
