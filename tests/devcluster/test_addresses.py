from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations

import pytest

from tools.devcluster.addresses import SETS, Addresses, choose_addresses, used_networks
from tools.devcluster.errors import MachineError

ROUTES = [
    {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"},
    {"dst": "192.0.2.0/24", "dev": "eth0"},
    {"dst": "203.0.113.7", "dev": "eth0"},
]


def test_sets_are_disjoint():
    networks = [network for index in range(SETS) for network in Addresses(index).networks()]
    assert not [(a, b) for a, b in combinations(networks, 2) if a.overlaps(b)]


def test_addresses_lie_in_their_networks():
    for index in range(SETS):
        addresses = Addresses(index)
        assert {addresses.host, addresses.node} <= set(addresses.link)
        assert addresses.api in addresses.services
        assert addresses.dns in addresses.services


def test_first_free_set_is_chosen():
    assert choose_addresses(used_networks(ROUTES, []), []) == Addresses(0)


@pytest.mark.parametrize("taken", ["10.89.0.0/24", "10.244.1.0/24", "10.96.12.0/24", "10.96.0.1"])
def test_a_set_that_overlaps_with_a_route_is_passed_over(taken):
    assert choose_addresses(used_networks([*ROUTES, {"dst": taken, "dev": "eth1"}], []), []) == Addresses(1)


def test_a_default_route_claims_nothing_but_every_other_does():
    assert used_networks(ROUTES, []) == (
        (IPv4Network("192.0.2.0/24"), "route 192.0.2.0/24 dev eth0"),
        (IPv4Network("203.0.113.7/32"), "route 203.0.113.7 dev eth0"),
    )


def test_addresses_of_interfaces_count():
    link = {"ifname": "br0", "addr_info": [{"family": "inet", "local": "10.89.0.9", "prefixlen": 24}]}
    assert choose_addresses(used_networks([], [link]), []) == Addresses(1)


def test_sets_of_other_clusters_are_passed_over():
    assert choose_addresses([], [0, 1, 3]) == Addresses(2)


def test_no_free_set_is_an_error_that_names_who_has_them():
    with pytest.raises(MachineError, match=r"set 0 by route 10\.0\.0\.0/8 dev vpn0"):
        choose_addresses(used_networks([{"dst": "10.0.0.0/8", "dev": "vpn0"}], []), [])
