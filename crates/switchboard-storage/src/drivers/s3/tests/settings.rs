//! What settings mean, and which are mistakes.

use super::*;
use crate::cloud::Conditions;

#[test]
fn a_preset_says_where_a_service_is_and_what_is_known_of_it() {
    let at = |preset, region: Option<&str>, account: Option<&str>| {
        let config = S3Config {
            preset: Some(preset),
            bucket: Some("b".to_owned()),
            region: region.map(str::to_owned),
            account: account.map(str::to_owned),
            ..S3Config::default()
        };
        config.target().map(|target| (target.address, target.region, target.traits))
    };
    let table = [
        (Preset::Minio, None, None, "http://127.0.0.1:9000/b", "us-east-1", WRITES),
        (Preset::R2, None, Some("me"), "https://me.r2.cloudflarestorage.com/b", "auto", WRITES),
        (Preset::B2, Some("eu-1"), None, "https://s3.eu-1.backblazeb2.com/b", "eu-1", NOTHING),
        (Preset::Wasabi, None, None, "https://s3.us-east-1.wasabisys.com/b", "us-east-1", NOTHING),
        (
            Preset::Spaces,
            Some("fra1"),
            None,
            "https://b.fra1.digitaloceanspaces.com",
            "fra1",
            NOTHING,
        ),
        (
            Preset::Lyve,
            Some("us-1"),
            None,
            "https://s3.us-1.lyvecloud.seagate.com/b",
            "us-1",
            NOTHING,
        ),
    ];
    for (preset, region, account, address, in_region, conditions) in table {
        let (told, told_region, traits) = at(preset, region, account).unwrap();
        assert_eq!((&*told, &*told_region, traits.conditions), (address, in_region, conditions));
        assert_eq!(traits.parts_alike, preset == Preset::R2);
    }
    for preset in [Preset::R2, Preset::B2, Preset::Spaces, Preset::Lyve] {
        assert_eq!(at(preset, None, None).unwrap_err().kind(), ErrorKind::Config, "{preset:?}");
    }
    let own = S3Config {
        preset: Some(Preset::B2),
        bucket: Some("b".to_owned()),
        region: Some("r".to_owned()),
        endpoint: Some("https://mine.example/".to_owned()),
        conditional: Some(vec![Conditional::Delete]),
        ..S3Config::default()
    };
    let target = own.target().unwrap();
    assert_eq!(target.address, "https://mine.example/b");
    assert_eq!(target.traits.conditions, Conditions { delete: true, ..NOTHING });
}

#[test]
fn of_a_service_that_nobody_knows_nothing_is_relied_on() {
    let told = |endpoint: &str, conditional| {
        let endpoint = Some(endpoint.to_owned()).filter(|endpoint| !endpoint.is_empty());
        let bucket = Some("b".to_owned());
        S3Config { bucket, endpoint, conditional, ..S3Config::default() }
            .target()
            .unwrap()
            .traits
            .conditions
    };
    for amazon in [
        "",
        "https://s3.dualstack.eu-central-1.amazonaws.com",
        "https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com/",
        "https://s3.cn-north-1.amazonaws.com.cn:443",
    ] {
        assert_eq!(told(amazon, None), Conditions::ALL, "{amazon}");
    }
    for unknown in [
        "http://127.0.0.1:9000",
        "https://s3.example.com",
        "https://s3.example.com/x.amazonaws.com",
        "https://notamazonaws.com",
    ] {
        assert_eq!(told(unknown, None), NOTHING, "{unknown}");
        let said = vec![Conditional::Create, Conditional::Replace, Conditional::Complete];
        assert_eq!(told(unknown, Some(said)), WRITES, "{unknown}");
    }
    assert_eq!(told("", Some(Vec::new())), NOTHING);
}

#[test]
fn a_bucket_is_named_by_an_address_or_by_settings_and_not_by_both() {
    let named = |url: &str| S3Config { url: Some(url.to_owned()), ..S3Config::default() };
    let target = named("s3://b?region=eu-central-1").target().unwrap();
    assert_eq!(target.address, "https://b.s3.eu-central-1.amazonaws.com");
    let target = named("s3://b?endpoint=http%3A%2F%2F127.0.0.1%3A9000").target().unwrap();
    assert_eq!(target.address, "http://127.0.0.1:9000/b");
    let target = named("s3://b.c").target().unwrap();
    assert_eq!(target.address, "https://s3.us-east-1.amazonaws.com/b.c");
    let both = S3Config { bucket: Some("c".to_owned()), ..named("s3://b") };
    let mistakes = [
        both,
        S3Config::default(),
        named("s3://"),
        named("s3://b/prefix"),
        named("s3://b?secret_access_key=x"),
        S3Config { endpoint: Some("127.0.0.1:9000".to_owned()), ..named("s3://b") },
        S3Config { endpoint: Some("http://me:secret@host".to_owned()), ..named("s3://b") },
        S3Config { kms_key: Some("k".to_owned()), ..named("s3://b") },
        named("s3://b?x"),
        named("s3://b c"),
    ];
    for mistake in mistakes {
        let error = mistake.target().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{mistake:?}");
    }
}

#[test]
fn nobody_is_asked_for_credentials_that_the_settings_do_not_name() {
    let config = S3Config { bucket: Some("b".to_owned()), ..S3Config::default() };
    let error = made(&config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.context_value("variable"), Some("AWS_ACCESS_KEY_ID"));

    let environment = Environment::new()
        .with_variables([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")]);
    let build = BuildContext::new(&environment, Name::parse("main").unwrap());
    assert!(S3::new(&config, &build).is_ok());

    let half = S3Config { access_key_id: Some("a".to_owned()), ..config };
    assert_eq!(made(&half).unwrap_err().context_value("setting"), Some("secret_access_key"));
}

const NOTHING: Conditions =
    Conditions { create: false, replace: false, delete: false, complete: false };
const WRITES: Conditions = Conditions { delete: false, ..Conditions::ALL };
