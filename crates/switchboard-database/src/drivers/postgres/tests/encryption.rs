//! Encrypted connections, to a server with certificates of its own.

use switchboard_testkit::private_service;

use super::*;
use crate::{TlsConfig, TlsMode};

/// Whether `user` is let in, and then whether what is said is encrypted.
async fn is_encrypted(
    user: &str,
    tls: impl FnOnce(TlsConfig, &std::path::Path) -> TlsConfig,
) -> Result<bool> {
    let (url, files) = private_service("postgres-tls");
    let config = PostgresConfig {
        url: Some(url.into()),
        user: Some(user.to_owned()),
        database: Some("postgres".to_owned()),
        tls: tls(TlsConfig::default(), &files),
        ..PostgresConfig::default()
    };
    let mut connection = driver(&config).open().await?;
    let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    let is_encrypted = connection.one(sql, &[]).await? == Value::Bool(true);

    // A stop goes the same way.
    let sql: Arc<str> = "select pg_sleep(600)".into();
    let asked = Statement { sql: &sql, values: &[], is_kept: false };
    dropping::once(&mut connection.query(asked)).await;
    assert_eq!(connection.recover().await?, State::Idle);
    assert_eq!(connection.one("select 1", &[]).await?, Value::Int(1));
    Box::new(connection).close().await?;
    Ok(is_encrypted)
}

#[tokio::test]
async fn each_mode_encrypts_as_it_says_on_postgres_tls() {
    for mode in [TlsMode::Preferred, TlsMode::Required] {
        assert!(is_encrypted("encrypted", |tls, _| TlsConfig { mode, ..tls }).await.unwrap());
    }
    let off = |tls, _: &std::path::Path| TlsConfig { mode: TlsMode::Off, ..tls };
    assert!(!is_encrypted("postgres", off).await.unwrap());
    assert_eq!(
        is_encrypted("encrypted", off).await.unwrap_err().kind(),
        ErrorKind::Unauthenticated
    );
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let signed_by = |file: &'static str| {
            move |tls, files: &std::path::Path| TlsConfig {
                mode,
                ca: Some(files.join(file)),
                ..tls
            }
        };
        assert!(is_encrypted("encrypted", signed_by("ca.pem")).await.unwrap());
        let error = is_encrypted("encrypted", signed_by("other-ca.pem")).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    }
}

#[tokio::test]
async fn a_certificate_lets_its_user_in_on_postgres_tls() {
    let with = |tls, files: &std::path::Path| TlsConfig {
        mode: TlsMode::VerifyFull,
        ca: Some(files.join("ca.pem")),
        cert: Some(files.join("client.pem")),
        key: Some(files.join("client.key")),
        ..tls
    };
    assert!(is_encrypted("certified", with).await.unwrap());
    let without =
        |tls, files: &std::path::Path| TlsConfig { cert: None, key: None, ..with(tls, files) };
    let error = is_encrypted("certified", without).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unauthenticated, Outcome::NotApplied));
}

#[tokio::test]
async fn a_password_is_proved_and_a_wrong_one_is_refused_on_postgres_tls() {
    let (url, _) = private_service("postgres-tls");
    for mode in [TlsMode::Off, TlsMode::Required] {
        for (password, is_let_in) in
            [(Some("open sesame"), true), (Some("secret-4711"), false), (None, false)]
        {
            let config = PostgresConfig {
                url: Some(url.as_str().into()),
                user: Some("known".to_owned()),
                database: Some("postgres".to_owned()),
                password: password.map(Secret::from),
                tls: TlsConfig { mode, ..TlsConfig::default() },
                ..PostgresConfig::default()
            };
            let opened = driver(&config).open().await;
            assert_eq!(opened.is_ok(), is_let_in, "{password:?}");
            if let Err(error) = opened {
                assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
                assert!(!format!("{error:?}").contains("4711"), "{error:?}");
            }
        }
    }
}
