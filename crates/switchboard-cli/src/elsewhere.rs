//! A running board that is named by its address: that of an application, or of another machine.
//!
//! The token comes in a variable and never as an argument, for everybody on a machine can read those.

use std::ffi::OsString;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::Authority;
use switchboard_core::{Error, ErrorKind, Result, Secret};

/// Where somebody said that a board is, unread.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) by: SaidBy,
    pub(crate) address: OsString,
}

/// What names the address of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SaidBy {
    Argument,
    Variable,
}

/// A board that is named by its address.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    /// `http://host:port`.
    pub(crate) address: String,
    pub(crate) token: Option<Secret>,
    pub(crate) by: SaidBy,
}

impl SaidBy {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Argument => "--address",
            Self::Variable => ADDRESS,
        }
    }
}

impl Elsewhere {
    pub(crate) fn new(said: &Said, token: Option<OsString>) -> Result<Self> {
        let address = said.address.to_str().ok_or("it is no text in UTF-8").and_then(address_of);
        let address = address.map_err(|reason| refused(said.by, reason))?;
        Ok(Self { address, token: token.map(token_of).transpose()?, by: said.by })
    }
}

/// `http://host:port`, of what leads there. What is refused is not repeated: it may hold a password.
fn address_of(said: &str) -> std::result::Result<String, &'static str> {
    if !said.contains("://") {
        return Err("it is no URL");
    }
    let said = said.parse::<Uri>().map_err(|_| "it is no URL")?;
    let authority = said.authority().ok_or("it names no host")?;
    if said.scheme_str() != Some("http") {
        return Err("a board is served over http");
    }
    if authority.as_str().contains('@') {
        return Err("it holds a user or a password");
    }
    if !matches!(said.path(), "" | "/") || said.query().is_some() {
        return Err("a board is served at a host and a port, without a path");
    }
    Ok(format!("http://{}:{}", authority.host(), port_of(authority)?))
}

fn port_of(authority: &Authority) -> std::result::Result<u16, &'static str> {
    let said = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    match (said, authority.port_u16()) {
        (_, Some(0)) => Err("port 0 is nobody's"),
        (_, Some(port)) => Ok(port),
        ("", None) => Ok(HTTP),
        (_, None) => Err("its port is none"),
    }
}

fn token_of(said: OsString) -> Result<Secret> {
    let said = said.into_string().ok();
    let said = said.filter(|said| HeaderValue::from_str(said).is_ok());
    said.map(Secret::from).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "the token of the board is none")
            .with_context("variable", TOKEN)
            .with_hint("a token is text on one line, without what steers a terminal")
    })
}

fn refused(by: SaidBy, reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, "the address of the board cannot be used")
        .with_context("said by", by.as_str())
        .with_context("reason", reason)
        .with_hint("write it like http://127.0.0.1:7070; its token goes into SWITCHBOARD_TOKEN")
}

/// The variable that names the address of a board.
pub(crate) const ADDRESS: &str = "SWITCHBOARD_ADDRESS";

/// The variable that holds what a board asks for that is named by its address.
pub(crate) const TOKEN: &str = "SWITCHBOARD_TOKEN";

/// The port of a URL that names none.
const HTTP: u16 = 80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_is_an_address_with_a_port_or_without() {
        for (said, address) in [
            ("http://127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("http://shop.internal/", "http://shop.internal:80"),
            ("HTTP://[::1]:7070/", "http://[::1]:7070"),
            ("http://[::1]", "http://[::1]:80"),
        ] {
            assert_eq!(address_of(said).as_deref(), Ok(address), "{said}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused_with_the_reason() {
        for (said, reason) in [
            ("", "no URL"),
            ("127.0.0.1:7070", "no URL"),
            ("http://", "no URL"),
            ("https://shop:7070", "over http"),
            ("redis://shop:7070", "over http"),
            ("http://ada:secret@shop:7070", "password"),
            ("http://shop:7070/health", "without a path"),
            ("http://shop:7070/?token=secret", "without a path"),
            ("http://shop:0", "port 0"),
            ("http://shop:70707", "port"),
            ("http://shop:", "port"),
        ] {
            let refused = address_of(said).unwrap_err();
            assert!(refused.contains(reason), "{said:?}: {refused}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever is said: what is taken is taken again as it is, and nothing of a password gets in.
        #[test]
        fn what_is_taken_is_an_address(said in "(http|https)?(://)?[a-z0-9.:@/?\\[\\]#% ]{0,20}") {
            if let Ok(address) = address_of(&said) {
                prop_assert!(!address.contains('@'), "{}", address);
                prop_assert_eq!(address_of(&address), Ok(address.clone()));
            }
        }
    }
}
