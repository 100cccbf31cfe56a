//! `disk ls`, `disk stat` and `disk url`: what is known of objects, and where they can be had.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use serde_json::{Map, Value, json};
use switchboard::Switchboard;
use switchboard_core::{Error, ErrorKind};
use switchboard_storage::{Disk, Entry, Meta, Page, Signed};

use super::disk;
use crate::arguments::{DiskKey, DiskList, DiskUrl, UrlMethod};
use crate::failure::{Exit, Result, one_line};
use crate::moment;
use crate::session::Session;
use crate::table::Table;

pub(super) async fn list(
    session: &mut Session,
    board: &Switchboard,
    asked: &DiskList,
) -> Result<Exit> {
    let disk = disk(session, board, &asked.disk).await?;
    let listing = disk.list(&asked.prefix);
    let listing = if asked.flat { listing.flat() } else { listing };
    let mut pages = pin!(listing.pages());
    let mut skipped = 0;
    while let Some(page) = pages.try_next().await? {
        skipped += page.skipped;
        let text = lines(&page, session.screen.is_json());
        session.screen.write_waiting(text).await?;
    }
    if skipped > 0 {
        session.screen.note(format!("note: {skipped} left out whose keys no disk can name"));
    }
    Ok(Exit::Fine)
}

/// The entries of a page, in the order of their keys.
fn lines(page: &Page, is_json: bool) -> String {
    let entries = page.entries.iter().map(|entry| {
        let line = if is_json { entry_json(entry).to_string() } else { entry_line(entry) };
        (&entry.key, line)
    });
    let prefixes = page.prefixes.iter().map(|prefix| {
        let line =
            if is_json { json!({ "prefix": prefix }).to_string() } else { row("", "", prefix) };
        (prefix, line)
    });
    let mut lines: Vec<_> = entries.chain(prefixes).collect();
    lines.sort_unstable();
    lines.into_iter().map(|(_, line)| line + "\n").collect()
}

fn entry_json(entry: &Entry) -> Value {
    json!({
        "key": entry.key,
        "size": entry.size,
        "modified": moment::exact(entry.modified),
        "version": entry.version.as_str(),
    })
}

fn entry_line(entry: &Entry) -> String {
    row(&entry.size.to_string(), &moment::to_the_second(entry.modified), &entry.key)
}

/// A list may have no end, so that its columns are as wide as what they hold is as a rule.
fn row(size: &str, modified: &str, key: &str) -> String {
    format!("{size:>12}  {modified:<20}  {}", one_line(&key))
}

pub(super) async fn stat(
    session: &mut Session,
    board: &Switchboard,
    asked: &DiskKey,
) -> Result<Exit> {
    let meta = disk(session, board, &asked.disk).await?.head(&asked.key).await?;
    if session.screen.is_json() {
        session.screen.write_json(&meta_json(&asked.key, &meta))?;
    } else {
        session.screen.write_table(&meta_table(&asked.key, &meta))?;
    }
    Ok(Exit::Fine)
}

/// All that is known of an object.
pub(super) fn meta_json(key: &str, meta: &Meta) -> Value {
    let attributes = &meta.attributes;
    json!({
        "key": key,
        "size": meta.size,
        "modified": moment::exact(meta.modified),
        "version": meta.version.as_str(),
        "checksum": meta.checksum.map(|sum| sum.to_string()),
        "content_type": attributes.content_type,
        "cache_control": attributes.cache_control,
        "content_disposition": attributes.content_disposition,
        "content_encoding": attributes.content_encoding,
        "content_language": attributes.content_language,
        "metadata": attributes.metadata,
    })
}

fn meta_table(key: &str, meta: &Meta) -> Table {
    let attributes = &meta.attributes;
    let mut table = Table::new()
        .row(["key".into(), key.into()])
        .row(["size".into(), meta.size.to_string().into()])
        .row(["modified".into(), moment::to_the_second(meta.modified).into()])
        .row(["version".into(), meta.version.as_str().into()]);
    let known = [
        ("checksum", meta.checksum.map(|sum| sum.to_string())),
        ("content type", attributes.content_type.clone()),
        ("cache control", attributes.cache_control.clone()),
        ("content disposition", attributes.content_disposition.clone()),
        ("content encoding", attributes.content_encoding.clone()),
        ("content language", attributes.content_language.clone()),
    ];
    for (name, value) in known {
        if let Some(value) = value {
            table.push([name.into(), value.into()]);
        }
    }
    for (name, value) in &attributes.metadata {
        table.push([format!("metadata {name}").into(), value.as_str().into()]);
    }
    table
}

pub(super) async fn url(
    session: &mut Session,
    board: &Switchboard,
    asked: &DiskUrl,
) -> Result<Exit> {
    refuse_what_is_not_meant(asked)?;
    let disk = disk(session, board, &asked.at.disk).await?;
    let signed = signed(&disk, asked).await?;
    if session.screen.is_json() {
        let headers: Map<_, _> =
            signed.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        session.screen.write_json(&json!({
            "method": signed.method.as_str(),
            "url": signed.url,
            "headers": headers,
            "expires": moment::exact(signed.expires),
        }))?;
        return Ok(Exit::Fine);
    }
    session.screen.write_line(&signed.url)?;
    for (name, value) in &signed.headers {
        session
            .screen
            .note(format!("note: it needs the header {}", one_line(&format!("{name}: {value}"))));
    }
    Ok(Exit::Fine)
}

async fn signed(disk: &Disk, asked: &DiskUrl) -> Result<Signed> {
    let (signing, ttl) = (disk.sign(&asked.at.key), asked.ttl.time);
    let signed = match asked.method {
        UrlMethod::Get => match &asked.attachment {
            Some(name) => signing.get(ttl).attachment(name).await,
            None => signing.get(ttl).await,
        },
        UrlMethod::Head => signing.head(ttl).await,
        UrlMethod::Put => match &asked.content_type {
            Some(kind) => signing.put(ttl).content_type(kind).await,
            None => signing.put(ttl).await,
        },
        UrlMethod::Delete => signing.delete(ttl).await,
    };
    Ok(signed?)
}

fn refuse_what_is_not_meant(asked: &DiskUrl) -> Result<()> {
    let why = if asked.attachment.is_some() && asked.method != UrlMethod::Get {
        "`--attachment` is for addresses to get an object"
    } else if asked.content_type.is_some() && asked.method != UrlMethod::Put {
        "`--content-type` is for addresses to put an object"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidInput, why).into())
}
