//! `cache`: what is under a key, by hand.

use bytes::Bytes;
use serde_json::{Value, json};

use super::closed;
use crate::arguments::{Cache, CacheKey};
use crate::desk::Desk;
use crate::failure::{Exit, Result};
use crate::session::Session;

pub(super) async fn run(session: &mut Session, cache: Cache) -> Result<Exit> {
    match cache {
        Cache::Get { at } => get(session, &at).await,
        Cache::Put { at, value, ttl } => {
            let value = match value {
                Some(value) if value != "-" => Bytes::from(value),
                _ => Bytes::from(session.read_input()?),
            };
            let desk = Desk::acting(session).await?;
            let put = desk.put(&at.cache, &at.key, value, ttl.as_ref()).await;
            done(session, closed(desk, put).await)
        }
        Cache::Forget { at } => {
            let desk = Desk::acting(session).await?;
            let forgotten = desk.forget(&at.cache, &at.key).await;
            done(session, closed(desk, forgotten).await)
        }
        Cache::Flush { cache } => {
            let desk = Desk::acting(session).await?;
            let flushed = desk.flush(&cache).await;
            done(session, closed(desk, flushed).await)
        }
    }
}

async fn get(session: &mut Session, at: &CacheKey) -> Result<Exit> {
    let desk = Desk::acting(session).await?;
    let value = desk.get(&at.cache, &at.key).await;
    let value = closed(desk, value).await?;
    if session.screen.is_json() {
        session.screen.write_json(&as_json(&value))?;
        return Ok(Exit::Fine);
    }
    // As it is, so that it can be piped; only a person wants the line to end.
    session.screen.write(&value)?;
    if session.screen.is_terminal() && !value.ends_with(b"\n") {
        session.screen.write("\n")?;
    }
    Ok(Exit::Fine)
}

/// Text as text, anything else as numbers.
fn as_json(value: &[u8]) -> Value {
    match std::str::from_utf8(value) {
        Ok(text) => json!({ "value": text }),
        Err(_) => json!({ "bytes": value }),
    }
}

/// What changes something says nothing more than that it worked.
fn done(session: &mut Session, changed: Result<()>) -> Result<Exit> {
    changed?;
    if session.screen.is_json() {
        session.screen.write_json(&json!({ "ok": true }))?;
    }
    Ok(Exit::Fine)
}
