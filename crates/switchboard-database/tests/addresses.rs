//! Whoever cannot be reached is told by the address, and nothing else of it is shown.

#![cfg(any(feature = "postgres", feature = "mysql"))]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::future::Future;
use std::net::SocketAddr;

use switchboard_core::{Environment, Error, ErrorKind, Manager, Registry, Settings};
use switchboard_database::Databases;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// What an instance that cannot be built says, of a server that has `patience` to answer in.
async fn refused(url: &str, patience: &str) -> Error {
    let registry = Registry::with_built_ins().unwrap();
    let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
    let pool = Settings::new().with("connect_timeout", patience).with("acquire_timeout", PATIENCE);
    databases.configure("main", &Settings::new().with("url", url).with("pool", pool)).unwrap();
    let error = databases.get("main").await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("c4nary"), "{error:?}");
    error
}

/// What is said of a server that does `answer` with everybody who comes.
async fn refused_by<F>(
    (scheme, patience): (&str, &str),
    answer: impl Fn(TcpStream) -> F,
) -> (SocketAddr, Error)
where
    F: Future<Output = Option<TcpStream>>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = async {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.extend(answer(socket).await);
        }
    };
    let url = format!("{scheme}://someone:c4nary@{address}/db");
    let error = tokio::select! {
        error = refused(&url, patience) => error,
        () = serving => unreachable!("it serves for ever"),
    };
    (address, error)
}

async fn each_failure_names_the_address(scheme: &str) {
    let (silent, error) = refused_by((scheme, SHORT), async |socket| Some(socket)).await;
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert_eq!(error.context_value("address"), Some(&*silent.to_string()), "{error:?}");

    let (deaf, error) = refused_by((scheme, PATIENCE), async |_| None).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(error.context_value("address"), Some(&*deaf.to_string()), "{error:?}");

    let strange = async |mut socket: TcpStream| {
        socket.write_all(b"SSH-2.0-c4nary\r\n\r\n").await.unwrap();
        Some(socket)
    };
    let (strange, error) = refused_by((scheme, PATIENCE), strange).await;
    assert_eq!(error.context_value("address"), Some(&*strange.to_string()), "{error:?}");

    let error = refused(&format!("{scheme}://someone:c4nary@{NOBODY}/db"), PATIENCE).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(error.context_value("address"), Some(NOBODY), "{error:?}");
}

/// Where nobody listens, and nobody is given a port to listen at.
const NOBODY: &str = "127.0.0.1:1";

/// For those who do not answer.
const SHORT: &str = "1s";

/// Longer than anything takes that does not hang.
const PATIENCE: &str = "1m";

#[cfg(feature = "postgres")]
#[tokio::test]
async fn whoever_cannot_be_reached_is_told_by_the_address_for_postgres() {
    each_failure_names_the_address("postgres").await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn all_places_that_were_asked_in_vain_are_told_for_postgres() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = (silent.local_addr().unwrap(), silent);
    let url = format!("postgres://someone:c4nary@{NOBODY},{}/db", silent.0);
    let error = refused(&url, SHORT).await;
    let both = format!("{NOBODY}, {}", silent.0);
    assert_eq!(error.context_value("address"), Some(&*both), "{error:?}");
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn whoever_cannot_be_reached_is_told_by_the_address_for_mysql() {
    each_failure_names_the_address("mysql").await;
}
