//! The `[console]` section.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::settings::{ByteSize, duration};
use switchboard_core::{Error, ErrorKind, Result, Secret};

/// Where the console listens, who may come in, and the limits of what is asked.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ConsoleConfig {
    /// The address to listen on; port 0 takes a free one. Anything but loopback needs a token.
    pub listen: String,
    /// What clients say as `Authorization: Bearer …`. Without one, a token is made at random.
    pub token: Option<Secret>,
    /// Names, beside those of this machine, by which browsers and clients may call the console.
    pub hosts: Vec<String>,
    /// The largest JSON body.
    pub json_bytes_max: ByteSize,
    /// The largest value of a cache.
    pub value_bytes_max: ByteSize,
    /// How many clients may be connected. More have to wait until one leaves.
    pub connections_max: u16,
    /// How long a client may take to send the head of a request, or to send another request.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub head_limit: Duration,
    /// How long one request may take, its body included.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub request_limit: Duration,
    /// How long a client may stay connected; what it has under way then has one request's time left.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub connection_limit: Duration,
}

impl ConsoleConfig {
    /// The address to listen on, if it is written as one.
    pub(crate) fn listen_address(&self) -> Result<SocketAddr> {
        let port = self.listen.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        if let Some(port) = port {
            return Ok((IpAddr::from(Ipv4Addr::LOCALHOST), port).into());
        }
        self.listen.parse().map_err(|error| {
            Error::new(ErrorKind::Config, "the console cannot listen there")
                .with_context("console.listen", format_args!("{:?}", self.listen))
                .with_hint("write an address and a port, like 127.0.0.1:8080")
                .with_source(error)
        })
    }

    /// Refuses what would keep every client out.
    pub(crate) fn check(&self) -> Result<()> {
        let limits = [
            ("console.head_limit", self.head_limit.is_zero()),
            ("console.request_limit", self.request_limit.is_zero()),
            ("console.connection_limit", self.connection_limit.is_zero()),
            ("console.connections_max", self.connections_max == 0),
        ];
        match limits.into_iter().find(|(_, is_zero)| *is_zero) {
            None => Ok(()),
            Some((setting, _)) => {
                Err(Error::new(ErrorKind::Config, "a limit of zero lets nobody in")
                    .with_context("setting", setting))
            }
        }
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
            head_limit: Duration::from_secs(10),
            request_limit: Duration::from_secs(30),
            connection_limit: Duration::from_mins(10),
        }
    }
}
