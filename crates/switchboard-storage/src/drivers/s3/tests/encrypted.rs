//! The driver against the same server behind TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use switchboard_core::Outcome;
use switchboard_testkit::unique;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

#[tokio::test]
async fn a_service_is_believed_only_if_its_authority_is_known() {
    make_bucket(server(), BUCKET);
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    let name = unique("encrypted");
    let test = async |port| {
        let trusting = S3Config {
            endpoint: Some(format!("https://localhost:{port}")),
            http: HttpConfig { ca: Some(authority.clone()), ..HttpConfig::default() },
            ..config(server())
        };
        let disk = made(&trusting).unwrap();
        let (content, write) = always(b"sealed");
        disk.put(key(&name), content, &write).await.unwrap();
        assert_eq!(disk.head(key(&name)).await.unwrap().size, 6);
        disk.delete(key(&name), None).await.unwrap();

        let doubting = S3Config { http: HttpConfig::default(), ..trusting.clone() };
        let error = made(&doubting).unwrap().head(key(&name)).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));

        std::fs::write(&authority, "not a certificate").unwrap();
        assert_eq!(made(&trusting).unwrap_err().context_value("setting"), Some("http.ca"));
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sealed = serve_sealed(listener, acceptor(&authority));
    tokio::select! {
        () = test(port) => {}
        () = sealed => {}
    }
}

/// A server's side of TLS, whose own authority is written to a file.
fn acceptor(authority: &Path) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(authority, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Passes what comes on to the server; for as long as it is polled.
async fn serve_sealed(listener: TcpListener, acceptor: TlsAcceptor) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let Ok(mut sealed) = acceptor.accept(stream).await else { return };
            let Ok(mut open) = TcpStream::connect(server()).await else { return };
            let _ = copy_bidirectional(&mut sealed, &mut open).await;
        });
    }
}
