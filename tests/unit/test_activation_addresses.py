"""Which addresses may be connected to, in every spelling of them."""

import pytest

from activation.egress import is_allow_listed, is_refused, permitted_addresses
from activation.errors import DestinationError, EgressRefusedError


class TestIsRefused:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",  # metadata of most clouds
            "169.254.170.2",
            "100.64.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::169.254.169.254",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::",
            "2001::1",
            "2001:db8::1",
            "fe80::1",
            "fe80::1%eth0",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "100::1",
        ],
    )
    def test_inside_the_house(self, address):
        assert is_refused(address)

    @pytest.mark.parametrize(
        "address",
        [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ],
    )
    def test_not_the_public_internet(self, address):
        assert not is_refused(address)


class TestIsAllowListed:
    @pytest.mark.parametrize(
        ("entry", "host", "port", "address"),
        [
            ("127.0.0.1", "127.0.0.1", 8001, "127.0.0.1"),
            ("127.0.0.1:8001", "127.0.0.1", 8001, "127.0.0.1"),
            ("Receiver.internal", "receiver.INTERNAL", 443, "10.0.0.1"),
            ("receiver.internal", "receiver.internal.", 443, "10.0.0.1"),
            ("[::1]:8001", "::1", 8001, "::1"),
            ("::1", "::1", 8001, "::1"),
            ("10.1.0.0/16", "anything.example", 443, "10.1.2.3"),
        ],
    )
    def test_by_name_address_port_and_network(self, entry, host, port, address):
        assert is_allow_listed(host, port, address=address, entries=[entry])

    @pytest.mark.parametrize(
        ("entry", "host", "port", "address"),
        [
            ("127.0.0.1:8001", "127.0.0.1", 8002, "127.0.0.1"),
            ("127.0.0.1", "rebound.example", 80, "127.0.0.1"),
            ("internal", "receiver.internal", 443, "10.0.0.1"),
            ("10.1.0.0/16", "anything.example", 443, "10.2.0.1"),
            ("10.1.0.0/16", "anything.example", 443, "fe80::1"),
            ("nonsense/entry", "nonsense", 443, "10.2.0.1"),
        ],
    )
    def test_nothing_else(self, entry, host, port, address):
        assert not is_allow_listed(host, port, address=address, entries=[entry])


class TestPermittedAddresses:
    def test_are_the_public_ones_of_a_name(self):
        found = ["10.0.0.1", "93.184.216.34", "64:ff9b::5db8:d822"]

        assert permitted_addresses("split.example", 443, resolver=lambda *_: found) == found[1:]

    def test_refuses_a_name_that_leads_inside(self):
        with pytest.raises(EgressRefusedError, match=r"127\.0\.0\.1") as caught:
            permitted_addresses("rebound.example", 443, resolver=lambda *_: ["127.0.0.1"])

        assert caught.value.permanent

    def test_may_try_again_where_a_name_is_not_found(self):
        def fail(*_: object) -> list[str]:
            raise OSError("Name or service not known")

        with pytest.raises(DestinationError) as caught:
            permitted_addresses("nowhere.example", 443, resolver=fail)

        assert not caught.value.permanent
