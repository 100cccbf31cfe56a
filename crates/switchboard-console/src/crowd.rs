//! Who is connected, and who has to go when there is no room for one more.
//!
//! Whoever asks nothing makes way, the one that has been silent for longest first: so a crowd of
//! clients that never finish their requests cannot keep out one that does.

use std::collections::HashMap;
use std::net::IpAddr;

use switchboard_core::Running;

use crate::progress::Progress;

/// The clients that are connected. Dropping this cuts all of them off.
#[derive(Debug)]
pub(crate) struct Crowd {
    all_max: usize,
    of_one_max: usize,
    clients: HashMap<u64, Client>,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) progress: Progress,
    /// Cut off when this is dropped.
    pub(crate) _running: Running,
}

/// Whether there is a place for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Made,
    /// All of them are being answered; one will leave, or fall silent.
    Full,
    /// So are all that come from the same address.
    TooManyOfOne,
}

impl Crowd {
    pub(crate) fn new(all_max: usize, of_one_max: usize) -> Self {
        Self { all_max, of_one_max, clients: HashMap::new() }
    }

    /// Makes a place for a client from `address`, if need be in the place of another.
    pub(crate) fn make_room(&mut self, address: IpAddr) -> Room {
        let is_from_there = |client: &Client| client.address == address;
        let from_there = self.clients.values().filter(|client| is_from_there(client)).count();
        if from_there >= self.of_one_max {
            let sent_away = self.send_away(self.most_silent(is_from_there));
            return if sent_away { Room::Made } else { Room::TooManyOfOne };
        }
        let is_full = self.clients.len() >= self.all_max;
        if is_full && !self.send_away(self.most_silent(|_| true)) {
            return Room::Full;
        }
        Room::Made
    }

    pub(crate) fn add(&mut self, number: u64, client: Client) {
        self.clients.insert(number, client);
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.clients.remove(&number);
    }

    fn send_away(&mut self, number: Option<u64>) -> bool {
        number.and_then(|number| self.clients.remove(&number)).is_some()
    }

    fn most_silent(&self, is_meant: impl Fn(&Client) -> bool) -> Option<u64> {
        let meant = self.clients.iter().filter(|(_, client)| is_meant(client));
        let silent =
            meant.filter_map(|(number, client)| Some((client.progress.silent_since()?, *number)));
        silent.min().map(|(_, number)| number)
    }
}
