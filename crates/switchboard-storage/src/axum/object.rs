//! An object as a response.

use axum_core::response::{IntoResponse, Response};

use crate::Object;
use crate::handler::{described, part};

/// The bytes as they come, with all that is said of them; 206 if they are not all.
impl IntoResponse for Object {
    fn into_response(self) -> Response {
        let (meta, range) = (self.meta().clone(), self.range());
        let response = described(&meta, self.into());
        let is_whole = range == (0..meta.size);
        let response = if is_whole { response } else { part(response, &range, meta.size) };
        response.map(axum_core::body::Body::new)
    }
}
