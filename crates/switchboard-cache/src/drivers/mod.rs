//! The drivers that come with the crate: one line each.

switchboard_core::drivers! { for crate::Caches:
    memory;
    null;
}
