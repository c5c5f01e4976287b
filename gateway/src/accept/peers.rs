//! Connections of each peer, counted, so that one cannot take the places of all.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use crate::load::counted::{self, Counted};

/// Open connections by peer; bounded by the connections that there may be at once.
#[derive(Debug, Default)]
pub(crate) struct Peers(Arc<Counted<IpAddr>>);

/// One of a peer's places; given back when dropped.
pub(crate) type Place = counted::Place<IpAddr>;

impl Peers {
    /// A place for one more connection from `address`, if fewer than `most` are open.
    pub(crate) fn enter(&self, address: IpAddr, most: usize) -> Option<Place> {
        self.0.enter(peer_of(address), most)
    }
}

/// Who counts as one peer: an IPv4 address, or the 64 bits of an IPv6 network, in which one host has
/// as many addresses as it likes.
pub(crate) fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::Peers;

    #[test]
    fn a_peer_has_so_many_places_and_gets_them_back() {
        let peers = Peers::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = peers.enter(address("2001:db8::1"), 2).unwrap();
        let _two = peers.enter(address("2001:db8::ffff"), 2).unwrap();
        assert!(peers.enter(address("2001:db8::2"), 2).is_none());
        assert!(peers.enter(address("2001:db8:0:1::2"), 2).is_some());
        let _four = peers.enter(address("10.0.0.1"), 1).unwrap();
        assert!(peers.enter(address("::ffff:10.0.0.1"), 1).is_none());
        drop(one);
        assert!(peers.enter(address("2001:db8::2"), 2).is_some());
    }
}
