//! Objects in a bucket, over HTTP: small ones and large ones, read and stored, alone and several at a
//! time.
//!
//! All sign their requests with the bytes they send, but for `opendal`, which does not sign bytes. The
//! product sends a checksum along and compares what it reads with it, and so does `aws-sdk-s3`.

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use opendal::{HttpTransporter, OperationContext, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;
use switchboard_core::Settings;
use switchboard_storage::Disk;

use crate::asking::{Shared, asking};
use crate::line::{Contender, Goal, Line, OURS};
use crate::server::{KEY, SECRET, Server};
use crate::stores::{Getting, KIB, MIB, Putting, Store, ours};

/// All of them.
pub fn lines() -> Vec<Line> {
    vec![
        line("s3-get", "Read an object of 4 KiB; one after the other.", Done::Get(4 * KIB), 1),
        line("s3-get-16", "Read objects of 4 KiB, 16 at a time.", Done::Get(4 * KIB), 16),
        line("s3-get-1m", "Read an object of 1 MiB; one after the other.", Done::Get(MIB), 1),
        line("s3-get-1m-16", "Read objects of 1 MiB, 16 at a time.", Done::Get(MIB), 16),
        line("s3-put", "Store an object of 4 KiB; one after the other.", Done::Put(4 * KIB), 1),
        line("s3-put-16", "Store objects of 4 KiB, 16 at a time.", Done::Put(4 * KIB), 16),
        line("s3-put-1m", "Store an object of 1 MiB; one after the other.", Done::Put(MIB), 1),
        line("s3-put-1m-16", "Store objects of 1 MiB, 16 at a time.", Done::Put(MIB), 16),
    ]
}

fn line(name: &'static str, about: &'static str, done: Done, tasks: usize) -> Line {
    let server = Shared::new();
    Line {
        name,
        about,
        reference: ObjectStore::NAME,
        threads: &[1],
        figure: None,
        needs: None,
        contenders: vec![
            contender::<Disk>(&server, done, tasks),
            contender::<ObjectStore>(&server, done, tasks),
            contender::<Operator>(&server, done, tasks),
            contender::<Aws>(&server, done, tasks),
        ],
        goals: [ObjectStore::NAME, Operator::NAME, Aws::NAME]
            .map(|peer| Goal::times(OURS, 1.10, peer, 1))
            .into(),
    }
}

/// What is done with objects, and how large they are.
#[derive(Clone, Copy)]
enum Done {
    Get(usize),
    Put(usize),
}

fn contender<P: Peer>(server: &Shared<Server>, done: Done, tasks: usize) -> Contender {
    let server = server.clone();
    let make = async move |server: &Shared<Server>| {
        let server = server.get(Server::start);
        P::new(server.address(), server.bucket(P::BUCKET)).await
    };
    let contender = match done {
        Done::Get(size) => Contender::new(P::NAME, move |_| {
            let server = server.clone();
            asking(tasks, async move || Getting::new(make(&server).await, size).await)
        }),
        Done::Put(size) => Contender::new(P::NAME, move |_| {
            let server = server.clone();
            asking(tasks, async move || Putting::new(make(&server).await, size).await)
        }),
    };
    contender.of(P::PACKAGES)
}

/// One way to ask S3.
trait Peer: Store + Sized {
    const NAME: &'static str;
    const PACKAGES: &'static [&'static str];
    /// Its own, so that it reads what it has stored itself.
    const BUCKET: &'static str;

    async fn new(address: &str, bucket: &str) -> Self;
}

impl Peer for Disk {
    const NAME: &'static str = OURS;
    const PACKAGES: &'static [&'static str] = &[];
    const BUCKET: &'static str = "switchboard";

    async fn new(address: &str, bucket: &str) -> Self {
        let settings = Settings::new().with("driver", "s3").with("bucket", bucket);
        let settings = settings.with("endpoint", address).with("region", REGION);
        ours(&settings.with("access_key_id", KEY).with("secret_access_key", SECRET)).await
    }
}

/// `object_store`, which the product has its requests signed by.
type ObjectStore = Arc<dyn object_store::ObjectStore>;

impl Peer for ObjectStore {
    const NAME: &'static str = "object_store";
    const PACKAGES: &'static [&'static str] = &["object_store", "reqwest"];
    const BUCKET: &'static str = "object-store";

    async fn new(address: &str, bucket: &str) -> Self {
        let store = AmazonS3Builder::new().with_endpoint(address).with_bucket_name(bucket);
        let store = store.with_allow_http(true).with_region(REGION);
        let store = store.with_access_key_id(KEY).with_secret_access_key(SECRET);
        Arc::new(store.build().expect("the settings are right"))
    }
}

impl Peer for Operator {
    const NAME: &'static str = "opendal";
    const PACKAGES: &'static [&'static str] = &["opendal", "reqwest"];
    const BUCKET: &'static str = "opendal";

    async fn new(address: &str, bucket: &str) -> Self {
        let service = opendal::services::S3::default().bucket(bucket).endpoint(address);
        let service = service.region(REGION).access_key_id(KEY).secret_access_key(SECRET);
        let service = service.disable_config_load().disable_ec2_metadata();
        let transport = HttpTransporter::new(ReqwestTransport::default());
        let context = OperationContext::new().with_http_transport(transport);
        Self::new(service).expect("the settings are right").with_context(context)
    }
}

/// The client of the service's own makers.
struct Aws {
    client: Client,
    bucket: String,
}

impl Peer for Aws {
    const NAME: &'static str = "aws-sdk-s3";
    const PACKAGES: &'static [&'static str] = &["aws-sdk-s3"];
    const BUCKET: &'static str = "aws-sdk";

    async fn new(address: &str, bucket: &str) -> Self {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(address)
            .force_path_style(true)
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(KEY, SECRET, None, None, "bench"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        Self { client: Client::from_conf(config), bucket: bucket.to_owned() }
    }
}

impl Store for Aws {
    async fn get(&self, key: &str) -> Bytes {
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let answer = request.send().await.expect("nothing fails");
        answer.body.collect().await.expect("nothing fails").into_bytes()
    }

    async fn put(&self, key: &str, content: Bytes) {
        let request = self.client.put_object().bucket(&self.bucket).key(key);
        request.body(content.into()).send().await.expect("nothing fails");
    }
}

const REGION: &str = "us-east-1";
