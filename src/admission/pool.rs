use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;

use super::Connection;

/// Places of connections whose client is not known, or may do nothing. An address may hold no more of
/// them than are free, as with a [`Share`](super::share::Share). But a new connection is not refused:
/// the oldest one that waits for its peer is closed. So a client that opens connections and sends
/// nothing loses them to clients that send, even if all have one address.
#[derive(Debug)]
pub struct Pool {
    most: usize,
    entries: Mutex<Entries>,
    exceeded: Counter,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    /// All places by number, the oldest first.
    by_age: BTreeMap<u64, (Address, Arc<Connection>)>,
    of_address: BTreeMap<Address, usize>,
}

/// The address of a peer: of IPv6 only the network, because a host has 2^64 addresses in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Address(u64);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_bits().into()),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }
}

/// A place in the pool, which is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    pool: Arc<Pool>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.entries.lock().remove(self.number);
    }
}

impl Entries {
    fn insert(&mut self, address: Address, connection: Arc<Connection>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.by_age.insert(number, (address, connection));
        *self.of_address.entry(address).or_default() += 1;
        number
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Connection>> {
        let (address, connection) = self.by_age.remove(&number)?;
        if let Some(count) = self.of_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&address);
            }
        }
        Some(connection)
    }

    /// The oldest connection that waits for its peer: of one address, or of all.
    fn victim(&self, within: Option<Address>) -> Option<u64> {
        let mut oldest = self.by_age.iter();
        let found = oldest.find(|(_, (address, connection))| {
            within.is_none_or(|it| it == *address) && connection.waits_for_peer()
        });
        found.map(|(number, _)| *number)
    }
}

impl Pool {
    /// A pool of `most` places.
    #[must_use]
    pub fn new(most: usize, exceeded: Counter) -> Arc<Self> {
        Arc::new(Self {
            most,
            entries: Mutex::default(),
            exceeded,
        })
    }

    /// A place for a connection. Another connection may be closed for it. None if no connection can be
    /// closed.
    #[must_use]
    pub fn enter(self: &Arc<Self>, address: IpAddr, connection: &Arc<Connection>) -> Option<Place> {
        let address = Address::from(address);
        let mut entries = self.entries.lock();
        if !self.make_room(&mut entries, address) {
            return None;
        }
        let number = entries.insert(address, Arc::clone(connection));
        drop(entries);
        Some(Place {
            pool: Arc::clone(self),
            number,
        })
    }

    /// Whether there is a place. Connections that do not wait for their peer are not closed: an address
    /// may hold more of them for a moment, as long as a quarter of all places is free.
    fn make_room(&self, entries: &mut Entries, address: Address) -> bool {
        loop {
            let own = entries.of_address.get(&address).copied().unwrap_or(0);
            let all = entries.by_age.len();
            if own + 1 + all <= self.most {
                return true;
            }
            self.exceeded.inc();
            let within = (own > 0).then_some(address);
            let Some(victim) = entries.victim(within) else {
                return all < self.most - self.most / 4;
            };
            if let Some(victim) = entries.remove(victim) {
                victim.evict();
            }
        }
    }

    /// Number of places in use.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.entries.lock().by_age.len()
    }

    /// Number of all places.
    #[must_use]
    pub const fn most(&self) -> usize {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    struct Guest {
        connection: Arc<Connection>,
        _place: Place,
    }

    fn enter(pool: &Arc<Pool>, address: IpAddr, waits: bool) -> Option<Guest> {
        let connection = Arc::new(Connection::default());
        connection.set_waiting(waits);
        let place = pool.enter(address, &connection)?;
        Some(Guest {
            connection,
            _place: place,
        })
    }

    #[test]
    fn silent_connections_of_an_address_lose_their_places_to_its_others() {
        let pool = Pool::new(10, Counter::default());
        let silent: Vec<_> = (0..5)
            .map(|_| enter(&pool, address(1), true).unwrap())
            .collect();
        let other = enter(&pool, address(2), true).unwrap();
        let speaks = enter(&pool, address(1), false).unwrap();
        let evicted: Vec<_> = silent.iter().map(|it| it.connection.is_evicted()).collect();
        assert_eq!(evicted, [true, false, false, false, false]);
        assert!(!other.connection.is_evicted() && !speaks.connection.is_evicted());
        assert_eq!(pool.taken(), 6);
        drop((silent, other, speaks));
        assert_eq!(pool.taken(), 0);
        assert!(pool.entries.lock().of_address.is_empty());
    }

    #[test]
    fn what_is_worked_on_stays_and_some_is_left_to_others() {
        let pool = Pool::new(10, Counter::default());
        let busy: Vec<_> = std::iter::from_fn(|| enter(&pool, address(1), false)).collect();
        assert_eq!(busy.len(), 8);
        assert!(busy.iter().all(|it| !it.connection.is_evicted()));
        let other = enter(&pool, address(2), false);
        assert!(other.is_some());
        // Once they wait for their client again they make room for its next ones.
        for guest in &busy {
            guest.connection.set_waiting(true);
        }
        assert!(enter(&pool, address(1), false).is_some());
        assert!(pool.taken() <= 6);
    }

    #[test]
    fn a_new_address_finds_a_place_among_any_number_of_others() {
        let pool = Pool::new(10, Counter::default());
        let guests: Vec<_> = (0..100)
            .map(|number| enter(&pool, address(number), true).unwrap())
            .collect();
        assert!(pool.taken() <= 10);
        assert!(!guests[99].connection.is_evicted());
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let address = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::2:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
        assert_ne!(address("10.0.0.1"), address("10.0.0.2"));
    }
}
