//! The `[console]` section: what may be in it, and what of it cannot work.
//!
//! All that can be said of the section alone is said while it is decoded, so that it is told wherever
//! a configuration is looked at, and not only where a console starts.

use std::net::{AddrParseError, IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use switchboard_core::settings::{ByteSize, duration};
use switchboard_core::{Error, ErrorKind, Result, Secret};

use crate::token;

/// Where the console listens, who may come in, and the limits of what is asked.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
// Decoded in two steps: each setting alone, then those that depend on each other.
#[serde(default, deny_unknown_fields, remote = "Self")]
#[non_exhaustive]
pub struct ConsoleConfig {
    /// The address to listen on; port 0 takes a free one. Anything but loopback needs a token.
    #[serde(deserialize_with = "an_address")]
    pub listen: String,
    /// What clients say as `Authorization: Bearer …`. Without one, a token is made at random.
    #[serde(deserialize_with = "a_token")]
    pub token: Option<Secret>,
    /// Names, beside those of this machine, by which browsers and clients may call the console.
    pub hosts: Vec<String>,
    /// The largest JSON body.
    #[serde(deserialize_with = "some_bytes")]
    pub json_bytes_max: ByteSize,
    /// The largest value of a cache.
    #[serde(deserialize_with = "some_bytes")]
    pub value_bytes_max: ByteSize,
    /// How many clients may be connected. For one more, the oldest that asks nothing is cut off; where
    /// all of them are being answered, it has to wait.
    #[serde(deserialize_with = "some")]
    pub connections_max: u16,
    /// How many of them may come from one address.
    #[serde(deserialize_with = "some")]
    pub connections_per_client_max: u16,
    /// How long a client may take to send the head of a request, or to send another request.
    #[serde(deserialize_with = "some_time")]
    #[schemars(with = "duration::Text")]
    pub head_limit: Duration,
    /// How long one request may take, its body included.
    #[serde(deserialize_with = "some_time")]
    #[schemars(with = "duration::Text")]
    pub request_limit: Duration,
    /// How long a swap or a reload may take, which builds drivers first. Longer than an instance may
    /// take to be built, so that who asked is told what became of it.
    #[serde(deserialize_with = "some_time")]
    #[schemars(with = "duration::Text")]
    pub change_limit: Duration,
    /// How long a client may stay connected; what it has under way then is still answered.
    #[serde(deserialize_with = "some_time")]
    #[schemars(with = "duration::Text")]
    pub connection_limit: Duration,
    /// How long requests that came whole are still answered when the board is closed.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub drain_limit: Duration,
}

impl ConsoleConfig {
    /// The address to listen on, if it is written as one.
    pub(crate) fn listen_address(&self) -> Result<SocketAddr> {
        address(&self.listen).map_err(|error| {
            Error::new(ErrorKind::Config, "the console cannot listen there")
                .with_context("console.listen", format_args!("{:?}", self.listen))
                .with_hint("write an address and a port, like 127.0.0.1:8080")
                .with_source(error)
        })
    }

    /// Refuses what would keep every client out, for settings that were not decoded.
    pub(crate) fn check(&self) -> Result<()> {
        let limits = [
            ("console.head_limit", self.head_limit.is_zero()),
            ("console.request_limit", self.request_limit.is_zero()),
            ("console.change_limit", self.change_limit.is_zero()),
            ("console.connection_limit", self.connection_limit.is_zero()),
            ("console.connections_max", self.connections_max == 0),
            ("console.connections_per_client_max", self.connections_per_client_max == 0),
        ];
        match limits.into_iter().find(|(_, is_zero)| *is_zero) {
            None => Ok(()),
            Some((setting, _)) => {
                Err(Error::new(ErrorKind::Config, ZERO).with_context("setting", setting))
            }
        }
    }

    /// Whether others than this machine could ask, and nobody would have to say who they are.
    pub(crate) fn is_open_to_all(&self, listen: SocketAddr) -> bool {
        !listen.ip().to_canonical().is_loopback() && self.token.is_none()
    }
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            token: None,
            hosts: Vec::new(),
            json_bytes_max: ByteSize(64 * 1024),
            value_bytes_max: ByteSize(8 * 1024 * 1024),
            connections_max: 256,
            connections_per_client_max: 128,
            head_limit: Duration::from_secs(2),
            request_limit: Duration::from_secs(30),
            change_limit: Duration::from_mins(4),
            connection_limit: Duration::from_mins(10),
            drain_limit: Duration::from_secs(2),
        }
    }
}

impl<'de> Deserialize<'de> for ConsoleConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // The first step, which `remote` has made.
        let config = Self::deserialize(from)?;
        match address(&config.listen) {
            Ok(listen) if config.is_open_to_all(listen) => Err(D::Error::custom(format_args!(
                "{OPEN_TO_ALL}: set `token`, or `listen` on 127.0.0.1"
            ))),
            _ => Ok(config),
        }
    }
}

fn address(listen: &str) -> Result<SocketAddr, AddrParseError> {
    match listen.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        Some(port) => Ok((IpAddr::from(Ipv4Addr::LOCALHOST), port).into()),
        None => listen.parse(),
    }
}

fn an_address<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let listen = String::deserialize(from)?;
    match address(&listen) {
        Ok(_) => Ok(listen),
        Err(_) => Err(D::Error::custom("expected an address and a port, like 127.0.0.1:8080")),
    }
}

fn a_token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    let given = Option::<Secret>::deserialize(from)?;
    match given.as_ref().map(token::check) {
        None | Some(Ok(())) => Ok(given),
        Some(Err(why)) => Err(D::Error::custom(why)),
    }
}

fn some<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    unless_zero(u16::deserialize(from)?, &0)
}

fn some_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<ByteSize, D::Error> {
    unless_zero(ByteSize::deserialize(from)?, &ByteSize(0))
}

fn some_time<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    unless_zero(duration::deserialize(from)?, &Duration::ZERO)
}

fn unless_zero<T: PartialEq, E: serde::de::Error>(limit: T, zero: &T) -> Result<T, E> {
    if limit == *zero { Err(E::custom(ZERO)) } else { Ok(limit) }
}

pub(crate) const OPEN_TO_ALL: &str = "without a token only this machine may be served";
const ZERO: &str = "a limit of zero lets nobody in";
