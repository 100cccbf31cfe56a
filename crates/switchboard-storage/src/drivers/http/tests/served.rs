//! A disk in memory, served by the handler that comes along: conditions and ranges as HTTP has them.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::*;
use crate::conformance::Fixture;
use crate::handler::{Content, Handler};

/// A folder of its own for each disk, on a server that all tests share.
pub(crate) fn fixture() -> Fixture {
    Fixture::new(register)
        .settings(|unique| {
            let base = format!("http://{}", site().address);
            Settings::new().with("base_url", base).with("prefix", unique)
        })
        .stocked(|settings, key, content| {
            Box::pin(async move {
                let prefix = settings.child("prefix").and_then(|prefix| prefix.as_str());
                let key = format!("{}/{key}", prefix.unwrap_or_default());
                site().disk.put(&key, content).await.map(drop)
            })
        })
        .server(site().address, |settings, wire| {
            settings.with("base_url", format!("http://{wire}"))
        })
}

struct Site {
    address: SocketAddr,
    disk: Disk,
    _disks: Manager<Disks>,
}

/// It lives as long as the process.
fn site() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let disks = Manager::<Disks>::new(Registry::with_built_ins().unwrap(), &Environment::new());
        let disks = disks.unwrap();
        let key =
            Settings::new().with("id", "1").with("secret", "0123456789abcdef0123456789abcdef");
        let settings = Settings::new()
            .with("driver", "memory")
            .with("public_url", PUBLIC)
            .with("sign_keys", vec![key]);
        disks.configure("main", &settings).unwrap();
        let disk = disks.handle("main").unwrap();
        let served = disk.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serve(listener, served));
        });
        Site { address, disk, _disks: disks }
    })
}

async fn serve(listener: std::net::TcpListener, disk: Disk) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let disk = disk.clone();
        let service = service_fn(move |request| {
            let disk = disk.clone();
            async move { Ok::<_, std::convert::Infallible>(answer(disk, request).await) }
        });
        connections.spawn(async move {
            // What is told here is told to the client by the connection that ends.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Whatever is asked for is signed for whoever asks.
async fn answer(disk: Disk, mut request: http::Request<Incoming>) -> http::Response<Content> {
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
    let signing = disk.sign(path.trim_start_matches('/'));
    let signed = match *request.method() {
        http::Method::HEAD => signing.head(MINUTE).await,
        _ => signing.get(MINUTE).await,
    };
    if let Ok(signed) = signed {
        *request.uri_mut() = signed.url.strip_prefix(PUBLIC).unwrap().parse().unwrap();
    }
    Handler::new(disk).oneshot(request).await.unwrap()
}

const PUBLIC: &str = "http://public.example";
const MINUTE: Duration = Duration::from_mins(1);
