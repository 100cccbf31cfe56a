//! Objects in routes as applications have them.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use switchboard_core::{Environment, Error, Manager, Registry, Settings};
use tower::ServiceExt as _;

use super::{Failure, Incoming};
use crate::{Disk, Disks, Object};

const SIZE_MAX: u64 = 3 << 20;

async fn show(State(disk): State<Disk>, Path(key): Path<String>) -> Result<Object, Failure> {
    Ok(disk.get(&key).await?)
}

async fn show_middle(State(disk): State<Disk>, Path(key): Path<String>) -> Result<Object, Failure> {
    Ok(disk.get(&key).range(1..3).await?)
}

async fn store(
    State(disk): State<Disk>,
    Path(key): Path<String>,
    upload: Incoming,
) -> Result<(), Failure> {
    let content_type = upload.content_type().unwrap_or("text/plain").to_owned();
    disk.put(&key, upload.body(SIZE_MAX)?).content_type(content_type).await?;
    Ok(())
}

async fn app() -> (Disk, Router) {
    let registry = Registry::with_built_ins().unwrap();
    let disks = Manager::<Disks>::new(registry, &Environment::new()).unwrap();
    disks.configure("main", &Settings::new().with("driver", "memory")).unwrap();
    let disk = disks.get("main").await.unwrap();
    let routes = Router::new().route("/{key}", get(show).put(store));
    (disk.clone(), routes.route("/{key}/middle", get(show_middle)).with_state(disk))
}

async fn ask(app: &Router, request: http::request::Builder, body: Body) -> Response {
    app.clone().oneshot(request.body(body).unwrap()).await.unwrap()
}

async fn bytes(response: Response) -> Vec<u8> {
    to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()
}

#[tokio::test]
async fn an_object_is_a_response() {
    let (disk, app) = app().await;
    disk.put("note", "four").content_type("text/x-note").await.unwrap();
    let whole = ask(&app, Request::get("/note"), Body::empty()).await;
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.headers()[header::CONTENT_TYPE], "text/x-note");
    assert_eq!(whole.headers()[header::CONTENT_LENGTH], "4");
    assert_eq!(whole.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(bytes(whole).await, b"four");

    let part = ask(&app, Request::get("/note/middle"), Body::empty()).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()[header::CONTENT_RANGE], "bytes 1-2/4");
    assert_eq!(bytes(part).await, b"ou");
}

#[tokio::test]
async fn a_failure_tells_its_status_and_nothing_more() {
    let (_disk, app) = app().await;
    let missing = ask(&app, Request::get("/missing"), Body::empty()).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let error = missing.extensions().get::<Error>().unwrap();
    assert_eq!(error.context_value("key"), Some("missing"));
    assert_eq!(bytes(missing).await, b"Not Found");
}

#[tokio::test]
async fn an_upload_has_its_own_limit_whatever_the_application_allows_others() {
    let (disk, app) = app().await;
    let max = usize::try_from(SIZE_MAX).unwrap();
    // As it comes, without a length.
    let streamed = |size: usize| {
        let pieces = vec![vec![b'x'; size / 2], vec![b'x'; size - size / 2]];
        Body::from_stream(futures_util::stream::iter(pieces.into_iter().map(Ok::<_, Error>)))
    };
    let put = || Request::put("/large").header(header::CONTENT_TYPE, "image/png");
    for body in [Body::from(vec![b'x'; max + 1]), streamed(max + 1)] {
        let refused = ask(&app, put(), body).await;
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert!(!disk.exists("large").await.unwrap());
    }
    for body in [Body::from(vec![b'x'; max]), streamed(max)] {
        assert_eq!(ask(&app, put(), body).await.status(), StatusCode::OK);
        let meta = disk.head("large").await.unwrap();
        assert_eq!(meta.size, SIZE_MAX);
        assert_eq!(meta.attributes.content_type.as_deref(), Some("image/png"));
        disk.delete("large").await.unwrap();
    }
}
