//! Objects that are read in pieces, of which some are read ahead.

use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use switchboard_core::ErrorKind;

use super::*;
use crate::Body;
use crate::drivers::local::read::FILES_MAX;

#[tokio::test]
async fn an_object_of_many_pieces_comes_whole_and_in_order_whoever_keeps_what_came() {
    let home = Home::with(LocalConfig { durability: Durability::None, ..LocalConfig::default() });
    let content = film();
    home.put("film", &content).await.unwrap();
    let mut pieces: Vec<_> = body(&home, Read::default()).await.try_collect().await.unwrap();
    assert!(pieces.len() > 4, "{} pieces", pieces.len());
    assert!(pieces.concat() == content.as_bytes(), "the pieces are those that were stored");
    // Each piece has memory of its own for as long as somebody has it.
    pieces.drain(..pieces.len() / 2);
    let rest: usize = pieces.iter().map(Bytes::len).sum();
    assert!(home.read("film").await.unwrap() == content);
    assert!(pieces.concat() == content.as_bytes()[content.len() - rest..]);

    let range = 1_234_567_u64..6_543_210;
    let read = Read { range: Some(range.clone().into()), ..Read::default() };
    let part: Vec<_> = body(&home, read).await.try_collect().await.unwrap();
    assert!(part.concat() == content.as_bytes()[1_234_567..6_543_210]);
}

#[tokio::test]
async fn a_file_that_others_make_shorter_while_it_is_read_has_too_few_bytes_and_no_wrong_ones() {
    let home = Home::with(LocalConfig { durability: Durability::None, ..LocalConfig::default() });
    let content = film();
    home.put("film", &content).await.unwrap();
    let mut body = body(&home, Read::default()).await.of_service(content.len() as u64);
    let mut came = body.try_next().await.unwrap().unwrap().to_vec();
    let file = std::fs::File::options().write(true).open(home.path("film")).unwrap();
    file.set_len(content.len() as u64 - 1_500_000).unwrap();
    let error = loop {
        match body.try_next().await {
            Ok(Some(piece)) => came.extend_from_slice(&piece),
            Ok(None) => panic!("the body was shorter than was said, and ended well"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(content.as_bytes().starts_with(&came));
}

#[tokio::test]
async fn of_very_many_objects_that_are_read_few_files_stay_open_and_little_is_read_before_it_is_wanted()
 {
    let home = Home::with(LocalConfig { durability: Durability::None, ..LocalConfig::default() });
    let content = film();
    home.put("film", &content).await.unwrap();
    let mut bodies = Vec::new();
    for _ in 0..FILES_MAX + 2 {
        bodies.push(body(&home, Read::default()).await);
    }
    assert_eq!(files_open(&home.path("film")), FILES_MAX);
    let mut last: Body = bodies.pop().unwrap();
    let one: Vec<_> = bodies.pop().unwrap().try_collect().await.unwrap();
    assert!(one.concat() == content.as_bytes());
    assert!(last.try_next().await.unwrap().is_some());

    home.put("film", "another").await.unwrap();
    let error = last.try_next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    // Whoever has a file does not notice.
    let first: Vec<_> = bodies.swap_remove(0).try_collect().await.unwrap();
    assert!(first.concat() == content.as_bytes());
    drop(bodies);
    assert_eq!(home.read("film").await.unwrap(), "another");
}

/// How often this process has the file open.
fn files_open(path: &Path) -> usize {
    let path = path.canonicalize().unwrap();
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    files
        .filter(|file| std::fs::read_link(file.as_ref().unwrap().path()).is_ok_and(|to| to == path))
        .count()
}

async fn body(home: &Home, read: Read) -> Body {
    home.local.get(Key::parse("film").unwrap(), &read).await.unwrap().unwrap().body
}

/// A text of some 7 MiB, no part of which is like another.
fn film() -> String {
    let mut film = String::new();
    for number in 0..1_000_000 {
        write!(film, "{number:07}").unwrap();
    }
    film
}
