//! What can be said of a web server, and what is wrong with it.

use std::collections::BTreeMap;

use http::Uri;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::settings::ByteSize;
use switchboard_core::{Error, ErrorKind, Result, Secret};

use crate::HttpConfig;

/// The settings of [`Http`](super::Http): where the server is, and what it is told with each request.
///
/// ```toml
/// [storage.downloads]
/// driver = "http"
/// base_url = "https://downloads.example.com/public"
/// headers = { authorization = "Bearer ${DOWNLOADS_TOKEN}" }
/// ```
///
/// ```
/// use switchboard_core::{Environment, ErrorKind, Manager, Registry, Settings};
/// use switchboard_storage::Disks;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
/// let settings = Settings::new().with("url", "https://downloads.example.com/public");
/// disks.configure("downloads", &settings)?;
///
/// let downloads = disks.get("downloads").await?;
/// let error = downloads.put("report.pdf", "…").await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unsupported);
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpDiskConfig {
    /// What stands before the keys: `https://downloads.example.com/public` has `a.txt` as
    /// `https://downloads.example.com/public/a.txt`.
    pub base_url: Option<String>,
    /// The same, as other drivers call it: the scheme names this driver.
    pub url: Option<String>,
    /// What is said with each request to this server, and to no other that it sends on to.
    pub headers: BTreeMap<String, Secret>,
    /// How often a request is followed that the server sends on.
    pub redirects_max: u32,
    /// The most bytes that are read and thrown away to come to a part of an object, where the server sends only
    /// whole ones.
    pub skip_max: ByteSize,
    /// The most bytes of an object whose length the server does not tell: it is read into memory, to know.
    pub unsized_max: ByteSize,
    /// How the server is spoken to.
    pub http: HttpConfig,
}

impl Default for HttpDiskConfig {
    fn default() -> Self {
        Self {
            base_url: None,
            url: None,
            headers: BTreeMap::new(),
            redirects_max: 5,
            skip_max: ByteSize(64 << 20),
            unsized_max: ByteSize(16 << 20),
            http: HttpConfig::default(),
        }
    }
}

impl HttpDiskConfig {
    /// What stands before the keys, without a `/` at its end.
    pub(super) fn base(&self) -> Result<String> {
        let (setting, written) = match (&self.base_url, &self.url) {
            (Some(base), None) => ("base_url", base),
            (None, Some(url)) => ("url", url),
            (None, None) => {
                return Err(mistake("it is not said where the objects are", "base_url"));
            }
            (Some(_), Some(_)) => {
                return Err(mistake("it is said twice where the objects are", "url"));
            }
        };
        let address = written.parse::<Uri>().ok().filter(|address| {
            matches!(address.scheme_str(), Some("http" | "https")) && address.host().is_some()
        });
        let Some(address) = address else {
            return Err(mistake("this is not the address of a web server", setting)
                .with_hint("write it like `https://downloads.example.com/public`"));
        };
        if address.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(mistake("an address is no place for a password", setting)
                .with_hint("say who asks in `headers`, under `authorization`"));
        }
        if written.contains(['?', '#']) {
            return Err(mistake("keys cannot come behind a `?` or a `#`", setting));
        }
        Ok(written.trim_end_matches('/').to_owned())
    }

    /// What is said with each request.
    pub(super) fn said(&self) -> Result<HeaderMap> {
        let mut said = HeaderMap::new();
        for (written, value) in &self.headers {
            let wrong =
                |why| mistake(why, "headers").with_context("header", written.escape_debug());
            let name = HeaderName::try_from(written)
                .map_err(|error| wrong("no header has such a name").with_source(error))?;
            if is_ours(&name) {
                return Err(wrong("the driver itself says this"));
            }
            let mut value = HeaderValue::try_from(value.expose())
                .map_err(|_| wrong("the value has a character that no header may have"))?;
            value.set_sensitive(true);
            if said.insert(name, value).is_some() {
                return Err(wrong("this header is said twice"));
            }
        }
        Ok(said)
    }
}

/// Whether a header says which bytes are asked for, or how they travel.
fn is_ours(name: &HeaderName) -> bool {
    OURS.contains(name) || name.as_str().starts_with("if-")
}

fn mistake(why: &'static str, setting: &'static str) -> Error {
    Error::new(ErrorKind::Config, why).with_context("setting", setting)
}

const OURS: [HeaderName; 9] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::RANGE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
